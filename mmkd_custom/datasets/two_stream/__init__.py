"""The two-stream loader and its seeded views."""

from .dataset import TwoStreamDataset
from .keys import CachedKey, SampleKey
from .sampler import TwoStreamBatchSampler, TwoStreamSampler
from .views import derive_seed, seeded_rng

__all__ = [
    'CachedKey',
    'SampleKey',
    'TwoStreamBatchSampler',
    'TwoStreamDataset',
    'TwoStreamSampler',
    'derive_seed',
    'seeded_rng',
]
