"""The datasets of a config, built as a run builds them."""

from __future__ import annotations

from contextlib import contextmanager
from typing import Any, Dict, Iterator

from mmengine.config import Config
from mmengine.registry import DefaultScope
from mmengine.utils import import_modules_from_strings

from ..datasets import TwoStreamDataset
from ..errors import UserError
from ..registry import DATASETS
from ..stages import STREAMS
from .misspelt import naming_misspelt


@contextmanager
def config_scope(config: Config) -> Iterator[None]:
    """Builds what a config names, as its runner would.

    Args:
        config (Config): Its ``custom_imports`` are imported and its
            ``default_scope`` is in force inside the ``with`` block.

    Raises:
        UserError: If a type or an argument of the config is misspelt.
    """
    imports = config.get('custom_imports')
    if imports:
        import_modules_from_strings(**imports)
    scope = DefaultScope.overwrite_default_scope(
        config.get('default_scope', 'mmkd_custom')
    )
    with scope, naming_misspelt():
        yield


def training_data(config: Config) -> TwoStreamDataset:
    """Builds the training images of a config.

    Args:
        config (Config): From :func:`~mmkd_custom.engine.config.load_config`.

    Returns:
        TwoStreamDataset: The config's own; around another dataset, all of
        whose images are labelled, one is made.

    Raises:
        UserError: If there is none, or it cannot be built.
    """
    given = (config.get('train_dataloader') or {}).get('dataset')
    if not given:
        raise UserError(
            'config: has no train_dataloader.dataset, but its training '
            'images are wanted.'
        )
    with config_scope(config):
        dataset = DATASETS.build(given)
        if isinstance(dataset, TwoStreamDataset):
            return dataset
        return TwoStreamDataset(labelled=dataset)


def streams_of(config: Config) -> Dict[str, Any]:
    """Builds the datasets of a config that hold its images.

    Args:
        config (Config): From :func:`~mmkd_custom.engine.config.load_config`.

    Returns:
        dict[str, BaseDataset]: ``'labelled'``, ``'unlabelled'`` and
        ``'synthetic'`` if there are any, and of ``'val'`` and ``'test'``
        those that the config has; of two alike the latter alone.

    Raises:
        UserError: If there is no training data, or any cannot be built.
    """
    train = training_data(config)
    streams = {name: getattr(train, name) for name in STREAMS}
    given = {
        name: (config.get(f'{name}_dataloader') or {}).get('dataset')
        for name in ('val', 'test')
    }
    if given['val'] == given['test']:
        del given['val']
    with config_scope(config):
        for name, dataset in given.items():
            if dataset:
                streams[name] = DATASETS.build(dataset)
    return {k: data for k, data in streams.items() if data is not None}
