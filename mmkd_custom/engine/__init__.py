"""Runner-side parts: hooks, optimiser per stage, checkpoints, launch."""

from .checkpoint import AtomicBackend, StrictLoadHook
from .hooks import (
    BatchNormStatisticsHook,
    ClassesHook,
    EpochSeedHook,
    FiniteLossHook,
    ProgressHook,
    ResultsHook,
    SelectionHook,
    StageHook,
    StageParamSchedulerHook,
    StandardizeTeacherHook,
    StudentEMAHook,
    StudentSWAHook,
    TeacherReportHook,
)
from .optim_wrapper import StagedOptimWrapper, StagedOptimWrapperConstructor
from .quantization import QuantizeHook
from .schedulers import CosineConstantLR

__all__ = [
    'AtomicBackend',
    'BatchNormStatisticsHook',
    'ClassesHook',
    'CosineConstantLR',
    'EpochSeedHook',
    'FiniteLossHook',
    'ProgressHook',
    'QuantizeHook',
    'ResultsHook',
    'SelectionHook',
    'StageHook',
    'StageParamSchedulerHook',
    'StandardizeTeacherHook',
    'StudentEMAHook',
    'StudentSWAHook',
    'TeacherReportHook',
    'StagedOptimWrapper',
    'StagedOptimWrapperConstructor',
    'StrictLoadHook',
]
