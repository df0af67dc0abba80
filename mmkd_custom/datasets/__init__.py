"""Datasets, labelled subsets, the two-stream loader and its seeded views."""

from mmengine.dataset import BaseDataset

from ..utils.compat import copy_subsets_afresh
from .cifar import CIFAR
from .domain_folder import DomainFolder
from .domain_list import DomainList
from .domains import domain_classes, find_domain
from .elpv import ELPV
from .image_csv import ImageCSV
from .image_folder import ImageFolder
from .imagenet import ImageNetSubset
from .images import IMAGE_EXTENSIONS, load_sample
from .prompt_names import prompt_names
from .subset import digest, label_subset, split_digest, stratified_subset
from .two_stream.batch_sampler import TwoStreamBatchSampler
from .two_stream.dataset import TwoStreamDataset
from .two_stream.keys import SampleKey
from .two_stream.sampler import TwoStreamSampler
from .two_stream.views import derive_seed, seeded_rng

copy_subsets_afresh(BaseDataset)

__all__ = [
    'CIFAR',
    'ELPV',
    'IMAGE_EXTENSIONS',
    'DomainFolder',
    'DomainList',
    'ImageCSV',
    'ImageFolder',
    'ImageNetSubset',
    'SampleKey',
    'TwoStreamBatchSampler',
    'TwoStreamDataset',
    'TwoStreamSampler',
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
