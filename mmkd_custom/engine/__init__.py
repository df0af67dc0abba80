"""Runner-side parts: hooks, optimiser per stage, checkpoints, launch."""

from .checkpoint import AtomicBackend, StrictLoadHook
from .hooks import (
    ClassesHook,
    EpochSeedHook,
    FiniteLossHook,
    ProgressHook,
    ResultsHook,
    SelectionHook,
    StageHook,
    StageParamSchedulerHook,
    StandardizeTeacherHook,
    TeacherReportHook,
)
from .optim_wrapper import StagedOptimWrapper, StagedOptimWrapperConstructor

__all__ = [
    'AtomicBackend',
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
    'StagedOptimWrapper',
    'StagedOptimWrapperConstructor',
    'StrictLoadHook',
]
