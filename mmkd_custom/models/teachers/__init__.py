"""Frozen teachers: large models that are asked and never trained."""

from .base import FrozenTeacher, TeacherOutput
from .mmpretrain_teacher import MMPretrainTeacher
from .timm_teacher import TimmTeacher
from .weights import load_state_dict, load_strict

__all__ = [
    'FrozenTeacher',
    'MMPretrainTeacher',
    'TeacherOutput',
    'TimmTeacher',
    'load_state_dict',
    'load_strict',
]
