"""One file per loss: modules (student, teacher[, target]) -> scalar."""

from .base import Loss
from .confident_cross_entropy import ConfidentCrossEntropy
from .cross_entropy import CrossEntropy
from .dime_fm import (
    ImageDistanceKL,
    PseudoVisionLanguageKL,
    VisionLanguageKL,
)
from .dkd import DKD
from .kl_divergence import KLDivergence
from .mse import MSE
from .similarity_kl import SimilarityKL
from .smooth_l1 import SmoothL1
from .spec_match import SpecMatch
from .token_relation import TokenRelation

__all__ = [
    'ConfidentCrossEntropy',
    'CrossEntropy',
    'DKD',
    'ImageDistanceKL',
    'KLDivergence',
    'Loss',
    'MSE',
    'PseudoVisionLanguageKL',
    'SimilarityKL',
    'SmoothL1',
    'SpecMatch',
    'TokenRelation',
    'VisionLanguageKL',
]
