"""A runner for MMPretrain's own tools, which know nothing of the key."""

from __future__ import annotations

from mmengine.config import Config
from mmengine.runner import Runner

from ..engine.config_data import resolve_classes
from ..engine.console import ConsoleRunner
from ..registry import RUNNERS
from .expand import expand


@RUNNERS.register_module()
class DistillRunner(ConsoleRunner):
    """MMEngine's runner of a config with the key ``distill``.

    .. code:: python

        custom_imports = dict(imports=['mmkd_custom'])
        runner_type = 'mmkd_custom.DistillRunner'
    """

    @classmethod
    def from_cfg(cls, cfg: Config) -> Runner:
        """Expands a config and builds its runner.

        Args:
            cfg (Config): With the key, or expanded already.

        Returns:
            Runner: It writes the expanded config to the work directory.
        """
        config = expand(cfg if isinstance(cfg, Config) else Config(cfg))
        resolve_classes(config)
        return super().from_cfg(config)
