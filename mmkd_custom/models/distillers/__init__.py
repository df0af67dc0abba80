"""Ways of training a student with a teacher."""

from .base import BaseDistiller, Batch
from .customkd import CustomKD
from .distiller import Distiller

__all__ = ['BaseDistiller', 'Batch', 'CustomKD', 'Distiller']
