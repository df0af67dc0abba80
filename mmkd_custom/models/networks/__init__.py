"""Networks that a distiller owns: trained or updated, saved, not exported."""

from .assistant import Assistant
from .averaged_student import AveragedStudent
from .base import OwnedNetwork
from .linear_probe import LinearProbe
from .peer import Peer
from .propagated_labels import PropagatedLabels
from .soft_labels import SoftLabels
from .stage_exits import StageExits
from .student_head import StudentHead
from .subclass_head import SubclassHead
from .text_corpus import TextCorpus

__all__ = [
    'Assistant',
    'AveragedStudent',
    'LinearProbe',
    'OwnedNetwork',
    'Peer',
    'PropagatedLabels',
    'SoftLabels',
    'StageExits',
    'StudentHead',
    'SubclassHead',
    'TextCorpus',
]
