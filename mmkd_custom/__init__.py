"""Distil large vision foundation models into edge models (CustomKD)."""

from importlib import import_module
from typing import Any, Dict

from .version import __version__

__all__ = ['__version__']

#: Names that are imported when they are asked for, and from which module:
#: importing them here would import torch.
_LATER: Dict[str, str] = {
    # MMEngine's root registry looks no further for a runner_type than its
    # children, which are MMPretrain's, and then for an attribute of this.
    'DistillRunner': '.expand',
    'distill': '.quickstart',
}


def __getattr__(name: str) -> Any:
    if name in _LATER:
        return getattr(import_module(_LATER[name], __name__), name)
    raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
