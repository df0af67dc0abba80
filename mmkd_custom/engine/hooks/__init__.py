"""Hooks: stage, seeds, results, progress."""

from .epoch_seed import EpochSeedHook
from .param_scheduler import StageParamSchedulerHook
from .progress import ProgressHook
from .results import ResultsHook
from .stage import StageHook
from .standardize_teacher import StandardizeTeacherHook
from .teacher_memory import TeacherMemoryHook
from .teacher_report import TeacherReportHook

__all__ = [
    'EpochSeedHook',
    'ProgressHook',
    'ResultsHook',
    'StageHook',
    'StageParamSchedulerHook',
    'StandardizeTeacherHook',
    'TeacherMemoryHook',
    'TeacherReportHook',
]
