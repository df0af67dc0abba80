"""Two small domains as streams, and samplers of streams of any size."""

import itertools

import torch

from mmkd_custom.datasets.two_stream import TwoStreamDataset, TwoStreamSampler
from mmkd_custom.stages import Stage, StageSchedule

LOAD = dict(type='LoadImageFromFile')
PACK = dict(type='PackInputs')
FLIP = dict(type='RandomFlip', prob=0.5, direction='horizontal')
JITTER = dict(type='ColorJitter', brightness=0.4)


def crop(scale=8, least=0.08):
    return dict(
        type='RandomResizedCrop', scale=scale, crop_ratio_range=(least, 1.0)
    )


PIPELINE = [LOAD, crop(), FLIP, JITTER, PACK]


def domain(root, name, pipeline=PIPELINE, **options):
    return dict(
        type='mmkd_custom.DomainFolder',
        data_root=root,
        domain=name,
        pipeline=pipeline,
        **options,
    )


def streams(root, pipeline=PIPELINE, **options):
    """Joins 12 labelled images, 'Art', and 15 unlabelled, 'Real World'."""
    parts = (domain(root, name, pipeline) for name in ('Art', 'Real World'))
    return TwoStreamDataset(*parts, **options)


def same(left, right):
    return torch.equal(left['inputs'], right['inputs'])


ALTERNATING = StageSchedule(
    [
        Stage('customization', epochs=1, streams=('labelled',)),
        Stage('distillation', epochs=2),
    ]
)


class Sizes:
    """All of a dataset that a sampler looks at."""

    def __init__(self, num_labelled, num_unlabelled, num_synthetic=0):
        self.num_labelled = num_labelled
        self.num_unlabelled = num_unlabelled
        self.num_synthetic = num_synthetic


def make(sizes, *counts, schedule=None, seed=0, **options):
    made = TwoStreamSampler(Sizes(*sizes), *counts, seed=seed, **options)
    if schedule is not None:
        made.set_schedule(schedule)
    return made


def epochs(made, numbers):
    drawn = []
    for number in numbers:
        made.set_epoch(number)
        drawn.append(list(made.batches()))
    return drawn


def keys(made, numbers, part=slice(None)):
    """Draws the keys of some epochs, of each batch a part."""
    batches = itertools.chain(*epochs(made, numbers))
    return [key for batch in batches for key in batch[part]]
