"""Hooks: stage, seeds, results, progress, what is measured."""

from .classes import ClassesHook
from .epoch_seed import EpochSeedHook
from .finite_loss import FiniteLossHook
from .gradient_share import GradientShareHook
from .param_scheduler import StageParamSchedulerHook
from .progress import ProgressHook
from .results import ResultsHook
from .stage import StageHook
from .standardize_teacher import StandardizeTeacherHook
from .teacher_report import TeacherReportHook

__all__ = [
    'ClassesHook',
    'EpochSeedHook',
    'FiniteLossHook',
    'GradientShareHook',
    'ProgressHook',
    'ResultsHook',
    'StageHook',
    'StageParamSchedulerHook',
    'StandardizeTeacherHook',
    'TeacherReportHook',
]
