"""Ways of training a student with a teacher."""

from ..batch import Batch, make_batch
from .base import BaseDistiller
from .customkd import CustomKD
from .distiller import Distiller

__all__ = ['BaseDistiller', 'Batch', 'make_batch', 'CustomKD', 'Distiller']
