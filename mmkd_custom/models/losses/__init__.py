"""One file per loss: pure modules (student, teacher[, target]) -> scalar."""

from .base import Loss
from .cross_entropy import CrossEntropy
from .dkd import DKD
from .kl_divergence import KLDivergence
from .mse import MSE
from .smooth_l1 import SmoothL1
from .token_relation import TokenRelation

__all__ = [
    'CrossEntropy',
    'DKD',
    'KLDivergence',
    'Loss',
    'MSE',
    'SmoothL1',
    'TokenRelation',
]
