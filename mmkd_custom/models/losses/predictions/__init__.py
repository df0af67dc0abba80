"""Losses that compare what networks say of classes: logits and labels."""

from .balanced_cross_entropy import BalancedCrossEntropy
from .better_peer import BetterPeer
from .confident_cross_entropy import ConfidentCrossEntropy
from .cross_entropy import CrossEntropy
from .dist import DIST
from .dkd import DKD
from .ferkd import FerKD
from .jensen_shannon import JensenShannon
from .kl_divergence import KLDivergence
from .minimum_class_confusion import MinimumClassConfusion
from .nkd import NKD
from .ofa import OFA
from .pseudo_label import PseudoLabel
from .weighted_ground_truth import WeightedGroundTruth

__all__ = [
    'BalancedCrossEntropy',
    'BetterPeer',
    'ConfidentCrossEntropy',
    'CrossEntropy',
    'DIST',
    'DKD',
    'FerKD',
    'JensenShannon',
    'KLDivergence',
    'MinimumClassConfusion',
    'NKD',
    'OFA',
    'PseudoLabel',
    'WeightedGroundTruth',
]
