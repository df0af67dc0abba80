"""From a config with the key ``distill`` to one that runs by itself."""

from __future__ import annotations

import copy

from mmengine.config import Config

from .classes import set_classes
from .data import check_images, set_streams
from .key import KEY, read_key
from .model import method_config, set_model, stages_of
from .quantize import set_quantize
from .run import (
    check_runner,
    set_hooks,
    set_imports,
    set_optimisers,
    set_parallel,
    set_seed,
)
from .schedule import stretch
from .statistics import set_statistics


def expand(config: Config) -> Config:
    """Expands the key ``distill``, spells short keys out.

    Args:
        config (Config): Of a student alone, with the key ``distill``; see
            docs/one_key.md. Any other is returned as it is, but for
            ``bn_statistics`` and ``quantize``.

    Returns:
        Config: Another one, without the key, of the distillation run.

    Raises:
        UserError: If the key, or the config with it, cannot work.
    """
    set_statistics(config)
    set_quantize(config)
    if KEY not in config:
        return config
    config = _plain(config)
    key = read_key(config.pop(KEY))
    check_runner(config)
    set_imports(config)
    set_seed(config)
    method = method_config(key)
    stages = stages_of(method)
    set_model(config, key, method)
    check_images(config)
    set_classes(config)
    set_streams(config, key)
    times = stretch(config, stages)
    set_optimisers(config, key, stages)
    set_hooks(config, times)
    set_parallel(config)
    return config


def _plain(config: Config) -> Config:
    """Copies a config; the classes of a lazy one become their names."""
    return Config(copy.deepcopy(config.to_dict()), filename=config.filename)
