"""One file per connector: from outputs of one shape to another."""

from .base import Connector
from .discriminator import Discriminator
from .linear import LinearConnector
from .mlp import MLPConnector
from .spatial import SpatialConnector

__all__ = [
    'Connector',
    'Discriminator',
    'LinearConnector',
    'MLPConnector',
    'SpatialConnector',
]
