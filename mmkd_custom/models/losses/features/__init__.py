"""Losses that compare features one by one: vectors, tokens, maps."""

from .cosine import Cosine
from .dual_view import DualView
from .l1 import L1
from .log_sum import LogSum
from .masked_mse import MaskedMSE
from .mse import MSE
from .norm_direction import NormDirection
from .rsd import RSD
from .smooth_l1 import SmoothL1
from .spec_match import SpecMatch
from .vid import VID
from .weighted_mse import WeightedMSE

__all__ = [
    'Cosine',
    'DualView',
    'L1',
    'LogSum',
    'MSE',
    'MaskedMSE',
    'NormDirection',
    'RSD',
    'SmoothL1',
    'SpecMatch',
    'VID',
    'WeightedMSE',
]
