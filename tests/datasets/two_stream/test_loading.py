"""Batches from a loader: the same for any workers and any restart."""

import os
from collections import Counter
from pathlib import Path

import pytest
from mmengine.dataset import default_collate, pseudo_collate
from mmengine.hooks import DistSamplerSeedHook
from mmengine.registry import DefaultScope
from mmengine.runner import Runner
from torch.utils.data import DataLoader

from mmkd_custom.datasets.image_folder import ImageFolder
from mmkd_custom.datasets.two_stream import (
    TwoStreamBatchSampler,
    TwoStreamDataset,
    TwoStreamSampler,
)
from mmkd_custom.errors import UserError
from tests.datasets.two_stream.helpers import (
    ALTERNATING,
    FLIP,
    LOAD,
    PACK,
    PIPELINE,
    crop,
    domain,
    streams,
)


@pytest.fixture
def dataset(two_domains, tmp_path, write_image):
    """Every stream and every view that there is."""
    for number in range(4):
        write_image(tmp_path / 'made' / f'{number}.png', seed=900 + number)
    return streams(
        two_domains,
        synthetic=ImageFolder(str(tmp_path / 'made'), pipeline=PIPELINE),
        pipelines=dict(teacher=[LOAD, crop(), FLIP, PACK], strong=PIPELINE),
        independent=('strong',),
        seed=5,
    )


def collated(dataset, numbers, **options):
    """Every byte of the batches of some epochs, from a new loader."""
    made = TwoStreamSampler(dataset, 2, 3, synthetic=1, seed=7)
    made.set_schedule(ALTERNATING)
    loader = DataLoader(
        dataset,
        batch_sampler=TwoStreamBatchSampler(made, 6),
        collate_fn=default_collate,
        **options,
    )
    found = []
    for number in numbers:
        made.set_epoch(number)
        for batch in loader:
            images = dict(student=batch['inputs'], **batch['views'])
            samples = batch['data_samples']
            found.append(
                (
                    [(k, v.numpy().tobytes()) for k, v in images.items()],
                    [s.metainfo for s in samples],
                    [s.gt_label.tolist() for s in samples if s.keys()],
                )
            )
    return found


def test_every_byte_is_the_same_for_any_workers_and_any_restart(dataset):
    whole = collated(dataset, range(4))
    per_epoch = len(whole) // 4
    names = [name for name, _ in whole[per_epoch][0]]
    assert names == ['student', 'teacher', 'strong']
    drawn = [meta['stream'] for meta in whole[per_epoch][1]]
    assert drawn == ['labelled'] * 2 + ['unlabelled'] * 3 + ['synthetic']
    assert len({tuple(batch[0]) for batch in whole}) == len(whole)
    persistent = dict(persistent_workers=True, prefetch_factor=3)
    for options in (
        dict(num_workers=1),
        dict(num_workers=2),
        dict(num_workers=2, **persistent),
    ):
        assert collated(dataset, range(4), **options) == whole
    for start in range(1, 4):
        rest = collated(dataset, range(start, 4), num_workers=start % 3)
        assert rest == whole[start * per_epoch :]


def test_user_error_crosses_the_worker(dataset, two_domains):
    for path in Path(two_domains).glob('*/*/*.png'):
        path.write_bytes(b'no image')
    with pytest.raises(UserError) as error:
        collated(dataset, range(1), num_workers=1)
    assert '.png' in str(error.value)
    assert 'Traceback' not in str(error.value)


class HookedRunner:
    """The three attributes that MMEngine's seed hook reads."""

    def __init__(self, dataloader, epoch):
        self.train_loop = self
        self.dataloader = dataloader
        self.epoch = epoch


@pytest.mark.parametrize('scope', ['mmpretrain', 'mmkd_custom'])
def test_mmengine_builds_the_loader_and_sets_its_epoch(two_domains, scope):
    dataset = streams(two_domains)
    with DefaultScope.overwrite_default_scope(scope):
        loader = Runner.build_dataloader(
            dict(
                dataset=dataset,
                batch_size=5,
                num_workers=0,
                sampler=dict(
                    type='mmkd_custom.TwoStreamSampler',
                    labelled=2,
                    unlabelled=3,
                ),
                batch_sampler=dict(type='mmkd_custom.TwoStreamBatchSampler'),
            ),
            seed=7,
        )
    assert len(loader) == 6
    made = loader.batch_sampler.sampler
    assert made.seed == 7
    DistSamplerSeedHook().before_train_epoch(HookedRunner(loader, 4))
    assert made.epoch == 4
    keys = [
        [(s.sample_idx, s.view) for s in batch['data_samples']]
        for batch in loader
    ]
    fresh = TwoStreamSampler(dataset, 2, 3, seed=7)
    fresh.set_epoch(4)
    assert keys == [[key[:2] for key in batch] for batch in fresh.batches()]


class NoteWorker:
    """A transform that notes the process it runs in."""

    def __call__(self, results):
        return dict(results, worker=os.getpid())


def test_repeated_labelled_data_needs_no_new_workers(two_domains):
    pack = dict(PACK, meta_keys=('worker', 'sample_idx'))
    dataset = TwoStreamDataset(
        domain(two_domains, 'Art', [LOAD, NoteWorker(), pack]),
        domain(two_domains, 'Real World'),
    )
    made = TwoStreamSampler(dataset, 4, 1, seed=0)
    loader = DataLoader(
        dataset,
        batch_sampler=TwoStreamBatchSampler(made, 5),
        collate_fn=pseudo_collate,
        num_workers=2,
        persistent_workers=True,
    )
    workers, seen = set(), Counter()
    for epoch in range(3):
        made.set_epoch(epoch)
        for batch in loader:
            for sample in batch['data_samples'][:4]:
                workers.add(sample.metainfo['worker'])
                seen[sample.sample_idx] += 1
    # 15 batches of 4 labelled images: each of the 12 five times an epoch.
    assert seen == dict.fromkeys(range(12), 15)
    assert len(workers) == 2 and os.getpid() not in workers
