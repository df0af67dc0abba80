"""Losses that compare how samples or positions relate to each other."""

from .attention_transfer import AttentionTransfer
from .contrastive import Contrastive
from .coral import CORAL

# Parts of one distiller, which no config names.
from .dime_fm import (  # noqa: F401
    ImageDistanceKL,
    PseudoVisionLanguageKL,
    VisionLanguageKL,
)
from .gram_relation import GramRelation
from .rkd import RKD
from .self_similarity import SelfSimilarity
from .similarity_kl import SimilarityKL
from .token_relation import TokenRelation

__all__ = [
    'AttentionTransfer',
    'CORAL',
    'Contrastive',
    'GramRelation',
    'RKD',
    'SelfSimilarity',
    'SimilarityKL',
    'TokenRelation',
]
