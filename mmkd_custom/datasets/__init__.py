"""Datasets, labelled subsets, the two-stream loader and its seeded views."""

from .check import DatasetReport, check_domain_folder
from .domain_folder import DomainFolder, domain_classes, find_domain
from .elpv import ELPV
from .images import IMAGE_EXTENSIONS, load_sample
from .sampler import TwoStreamBatchSampler, TwoStreamSampler
from .subset import digest, label_subset, split_digest, stratified_subset
from .two_stream import SampleKey, TwoStreamDataset
from .views import derive_seed, seeded_rng

__all__ = [
    'ELPV',
    'IMAGE_EXTENSIONS',
    'DatasetReport',
    'DomainFolder',
    'SampleKey',
    'TwoStreamBatchSampler',
    'TwoStreamDataset',
    'TwoStreamSampler',
    'check_domain_folder',
    'derive_seed',
    'digest',
    'domain_classes',
    'find_domain',
    'label_subset',
    'load_sample',
    'seeded_rng',
    'split_digest',
    'stratified_subset',
]
