"""Hooks: stage, seeds, results, selection, progress."""

from .averages import StudentEMAHook, StudentSWAHook
from .batch_norm import BatchNormStatisticsHook
from .classes import ClassesHook
from .epoch_seed import EpochSeedHook
from .finite_loss import FiniteLossHook
from .fold_heads import FoldHeadsHook
from .gradient_share import GradientShareHook
from .param_scheduler import StageParamSchedulerHook
from .progress import ProgressHook
from .results import ResultsHook
from .selection import SelectionHook
from .stage import StageHook
from .standardize_teacher import StandardizeTeacherHook
from .teacher_report import TeacherReportHook

__all__ = [
    'BatchNormStatisticsHook',
    'ClassesHook',
    'EpochSeedHook',
    'FiniteLossHook',
    'FoldHeadsHook',
    'GradientShareHook',
    'ProgressHook',
    'ResultsHook',
    'SelectionHook',
    'StageHook',
    'StageParamSchedulerHook',
    'StandardizeTeacherHook',
    'StudentEMAHook',
    'StudentSWAHook',
    'TeacherReportHook',
]
