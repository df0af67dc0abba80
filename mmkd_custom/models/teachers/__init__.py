"""Frozen teachers: large models that are asked and never trained."""

from .base import FrozenTeacher, TeacherOutput
from .memory import TeacherMemory
from .mmpretrain_teacher import MMPretrainTeacher
from .timm_teacher import TimmTeacher
from .weights import load_state_dict, load_strict

__all__ = [
    'FrozenTeacher',
    'MMPretrainTeacher',
    'TeacherMemory',
    'TeacherOutput',
    'TimmTeacher',
    'load_state_dict',
    'load_strict',
]
