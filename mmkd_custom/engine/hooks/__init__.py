"""Hooks: stage, seeds, results, progress."""

from .epoch_seed import EpochSeedHook
from .progress import ProgressHook, progress_bar
from .results import ResultsHook
from .stage import StageHook

__all__ = [
    'EpochSeedHook',
    'ProgressHook',
    'ResultsHook',
    'StageHook',
    'progress_bar',
]
