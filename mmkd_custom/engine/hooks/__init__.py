"""Hooks: stage, seeds, results, selection, progress."""

from .classes import ClassesHook
from .epoch_seed import EpochSeedHook
from .finite_loss import FiniteLossHook
from .param_scheduler import StageParamSchedulerHook
from .progress import ProgressHook
from .results import ResultsHook
from .selection import SelectionHook
from .stage import StageHook
from .standardize_teacher import StandardizeTeacherHook
from .teacher_report import TeacherReportHook

__all__ = [
    'ClassesHook',
    'EpochSeedHook',
    'FiniteLossHook',
    'ProgressHook',
    'ResultsHook',
    'SelectionHook',
    'StageHook',
    'StageParamSchedulerHook',
    'StandardizeTeacherHook',
    'TeacherReportHook',
]
