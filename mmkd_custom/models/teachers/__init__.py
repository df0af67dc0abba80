"""Frozen teachers: large models that are asked and never trained."""

from .base import FrozenTeacher
from .mmpretrain import MMPretrainTeacher
from .open_clip import OpenCLIPTeacher
from .report import teacher_report
from .timm import TimmTeacher
from .weights import load_state_dict, load_strict
from .wrappers import AdaptedTeacher, EnsembleTeacher, ProbedTeacher

__all__ = [
    'AdaptedTeacher',
    'EnsembleTeacher',
    'FrozenTeacher',
    'MMPretrainTeacher',
    'OpenCLIPTeacher',
    'ProbedTeacher',
    'TimmTeacher',
    'load_state_dict',
    'load_strict',
    'teacher_report',
]
