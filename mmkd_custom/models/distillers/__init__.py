"""Ways of training a student with teachers."""

from .base import BaseDistiller
from .customkd import CustomKD
from .dime_fm import DIMEFM
from .distiller import Distiller
from .scalekd import ScaleKD
from .term import Ramp, Term
from .weights import SourceWeight, TrustedWeight

__all__ = [
    'BaseDistiller',
    'CustomKD',
    'DIMEFM',
    'Distiller',
    'Ramp',
    'ScaleKD',
    'SourceWeight',
    'TrustedWeight',
    'Term',
]
