"""The two-stream loader and its seeded views."""

from .batch_sampler import TwoStreamBatchSampler
from .dataset import TwoStreamDataset
from .keys import SampleKey
from .sampler import TwoStreamSampler
from .views import derive_seed, seeded_rng

__all__ = [
    'SampleKey',
    'TwoStreamBatchSampler',
    'TwoStreamDataset',
    'TwoStreamSampler',
    'derive_seed',
    'seeded_rng',
]
