"""One file per connector: from outputs of one shape to another."""

from .base import Connector
from .cross_attention import CrossAttentionConnector
from .discriminator import Discriminator
from .linear import LinearConnector
from .mlp import MLPConnector
from .orthogonal import OrthogonalConnector
from .prototype import PrototypeConnector
from .query import QueryConnector
from .residual import ResidualConnector
from .spatial import SpatialConnector

__all__ = [
    'Connector',
    'CrossAttentionConnector',
    'Discriminator',
    'LinearConnector',
    'MLPConnector',
    'OrthogonalConnector',
    'PrototypeConnector',
    'QueryConnector',
    'ResidualConnector',
    'SpatialConnector',
]
