"""Networks that a distiller owns: trained or updated, saved, not exported."""

from .averaged_student import AveragedStudent
from .base import OwnedNetwork
from .linear_probe import LinearProbe
from .soft_labels import SoftLabels

__all__ = ['AveragedStudent', 'LinearProbe', 'OwnedNetwork', 'SoftLabels']
