"""Frozen teachers: large models that are asked and never trained."""

from .adapted import AdaptedTeacher
from .base import FrozenTeacher
from .cached import CachedTeacher
from .ensemble import EnsembleTeacher
from .mmpretrain_teacher import MMPretrainTeacher
from .open_clip_teacher import OpenCLIPTeacher
from .output import FEATURE, LOGITS, MAPS, OUTPUTS, TOKENS, TeacherOutput
from .probed import ProbedTeacher
from .report import teacher_report
from .timm_teacher import TimmTeacher
from .weights import load_state_dict, load_strict

__all__ = [
    'FEATURE',
    'LOGITS',
    'MAPS',
    'OUTPUTS',
    'TOKENS',
    'AdaptedTeacher',
    'CachedTeacher',
    'EnsembleTeacher',
    'FrozenTeacher',
    'MMPretrainTeacher',
    'OpenCLIPTeacher',
    'ProbedTeacher',
    'TeacherOutput',
    'TimmTeacher',
    'load_state_dict',
    'load_strict',
    'teacher_report',
]
