"""Networks that a distiller owns: trained or updated, saved, not exported."""

from .averaged_student import AveragedStudent
from .base import OwnedNetwork
from .linear_probe import LinearProbe
from .propagated_labels import PropagatedLabels
from .soft_labels import SoftLabels
from .text_corpus import TextCorpus

__all__ = [
    'AveragedStudent',
    'LinearProbe',
    'OwnedNetwork',
    'PropagatedLabels',
    'SoftLabels',
    'TextCorpus',
]
