"""Distil large vision foundation models into edge models (CustomKD)."""

from .utils.compat import allow_training_state
from .version import __version__

allow_training_state()

__all__ = ['__version__']
