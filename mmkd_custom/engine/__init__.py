"""Runner-side parts: hooks, optimiser per stage, checkpoints, launch."""

from .checkpoint import StrictLoadHook, latest_checkpoint
from .hooks import (
    EpochSeedHook,
    ProgressHook,
    ResultsHook,
    StageHook,
    TeacherMemoryHook,
)
from .optim_wrapper import StagedOptimWrapper, StagedOptimWrapperConstructor

__all__ = [
    'EpochSeedHook',
    'ProgressHook',
    'ResultsHook',
    'StageHook',
    'TeacherMemoryHook',
    'StagedOptimWrapper',
    'StagedOptimWrapperConstructor',
    'StrictLoadHook',
    'latest_checkpoint',
]
