"""Runner-side parts: hooks, optimiser per stage, checkpoints, launch."""

from .checkpoint import AtomicBackend, StrictLoadHook
from .hooks import (
    EpochSeedHook,
    ProgressHook,
    ResultsHook,
    StageHook,
    StageParamSchedulerHook,
    StandardizeTeacherHook,
    TeacherMemoryHook,
    TeacherReportHook,
)
from .optim_wrapper import StagedOptimWrapper, StagedOptimWrapperConstructor

__all__ = [
    'AtomicBackend',
    'EpochSeedHook',
    'ProgressHook',
    'ResultsHook',
    'StageHook',
    'StageParamSchedulerHook',
    'StandardizeTeacherHook',
    'TeacherMemoryHook',
    'TeacherReportHook',
    'StagedOptimWrapper',
    'StagedOptimWrapperConstructor',
    'StrictLoadHook',
]
