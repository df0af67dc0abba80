"""Datasets, labelled subsets, the two-stream loader and its seeded views."""

from .check import DatasetReport, check_domain_folder
from .check_streams import StreamsReport, check_streams
from .cifar import CIFAR
from .domain_folder import DomainFolder, domain_classes, find_domain
from .elpv import ELPV
from .image_folder import ImageFolder
from .image_list import DomainList
from .imagenet import ImageNetSubset
from .images import IMAGE_EXTENSIONS, load_sample
from .keys import CachedKey, SampleKey
from .prompt_names import prompt_names
from .sampler import TwoStreamBatchSampler, TwoStreamSampler
from .subset import digest, label_subset, split_digest, stratified_subset
from .two_stream import TwoStreamDataset
from .views import derive_seed, seeded_rng

__all__ = [
    'CIFAR',
    'ELPV',
    'IMAGE_EXTENSIONS',
    'CachedKey',
    'DatasetReport',
    'DomainFolder',
    'DomainList',
    'ImageFolder',
    'ImageNetSubset',
    'SampleKey',
    'StreamsReport',
    'TwoStreamBatchSampler',
    'TwoStreamDataset',
    'TwoStreamSampler',
    'check_domain_folder',
    'check_streams',
    'derive_seed',
    'digest',
    'domain_classes',
    'find_domain',
    'label_subset',
    'load_sample',
    'prompt_names',
    'seeded_rng',
    'split_digest',
    'stratified_subset',
]
