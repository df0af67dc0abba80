"""One file per connector: from one feature space to another."""

from .linear import LinearConnector
from .mlp import MLPConnector

__all__ = ['LinearConnector', 'MLPConnector']
