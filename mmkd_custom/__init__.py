"""Distil large vision foundation models into edge models (CustomKD)."""

from typing import Any

from .utils.compat import allow_training_state
from .version import __version__

allow_training_state()

__all__ = ['__version__']


def __getattr__(name: str) -> Any:
    """Finds ``runner_type='mmkd_custom.DistillRunner'``, for MMEngine.

    Its root registry looks no further than its children, which are
    MMPretrain's, and then for an attribute of this package.
    """
    if name == 'DistillRunner':
        from .expand import DistillRunner

        return DistillRunner
    raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
