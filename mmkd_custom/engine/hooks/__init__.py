"""Hooks: stage, seeds, results, progress."""

from .epoch_seed import EpochSeedHook
from .progress import ProgressHook, progress_bar
from .results import ResultsHook
from .stage import StageHook
from .teacher_memory import TeacherMemoryHook

__all__ = [
    'EpochSeedHook',
    'ProgressHook',
    'ResultsHook',
    'StageHook',
    'TeacherMemoryHook',
    'progress_bar',
]
