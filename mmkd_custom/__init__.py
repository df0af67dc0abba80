"""Distil large vision foundation models into edge models (CustomKD)."""

from .compat import allow_training_state, check_versions
from .version import __version__

check_versions()
allow_training_state()

__all__ = ['__version__']
