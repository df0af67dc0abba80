import hashlib
import itertools
import os
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.distributed as dist
from hypothesis import given, settings
from hypothesis import strategies as st
from mmengine.dataset import default_collate, pseudo_collate
from mmengine.hooks import DistSamplerSeedHook
from mmengine.registry import DefaultScope
from mmengine.runner import Runner
from torch.utils.data import DataLoader

from mmkd_custom.datasets.image_folder import ImageFolder
from mmkd_custom.datasets.two_stream import sampler
from mmkd_custom.datasets.two_stream.dataset import TwoStreamDataset
from mmkd_custom.datasets.two_stream.keys import SampleKey
from mmkd_custom.datasets.two_stream.sampler import (
    TwoStreamBatchSampler,
    TwoStreamSampler,
)
from mmkd_custom.errors import UserError
from mmkd_custom.stages import Stage, StageSchedule
from tests.two_ranks import TwoRanks

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


def epochs(made, numbers):
    drawn = []
    for number in numbers:
        made.set_epoch(number)
        drawn.append(list(made.batches()))
    return drawn


@pytest.fixture
def ranks(monkeypatch):
    """Makes one sampler a rank, as each process of a run would."""

    def make(world_size, *args, **kwargs):
        made = []
        for rank in range(world_size):
            monkeypatch.setattr(
                sampler, 'get_dist_info', lambda rank=rank: (rank, world_size)
            )
            made.append(TwoStreamSampler(*args, seed=1, **kwargs))
        return made

    return make


def test_batches_hold_labelled_then_unlabelled():
    made = TwoStreamSampler(Sizes(10, 23), 3, 4, seed=0)
    batches = list(made.batches())
    # 23 unlabelled images in fours take 6 batches, 10 in threes take 4.
    assert made.epoch_length == len(batches) == 6
    assert len(made) == len(list(made)) == 6 * 7
    for batch in batches:
        assert len(batch) == 7
        assert all(isinstance(key, SampleKey) for key in batch)
        assert all(key.index < 10 for key in batch[:3])
        assert all(10 <= key.index < 33 for key in batch[3:])
    assert list(made) == list(itertools.chain(*batches))


@pytest.mark.parametrize(
    'sizes, counts, length',
    [
        ((10, 23), (3, 4), 6),
        ((100, 23), (3, 4), 34),
        ((12, 8), (3, 2), 4),
        ((5, 0), (2, 0), 3),
    ],
)
def test_longer_stream_goes_through_once(sizes, counts, length):
    made = TwoStreamSampler(Sizes(*sizes), *counts, seed=0)
    assert made.epoch_length == length


def test_epoch_length_counts_all_ranks(ranks):
    made = ranks(2, Sizes(10, 23), 3, 4)
    assert [one.epoch_length for one in made] == [3, 3]
    made = ranks(2, Sizes(10, 23), 3, 4, epoch_length=5)
    assert [len(list(one.batches())) for one in made] == [5, 5]


@settings(max_examples=40, deadline=None)
@given(
    size=st.integers(1, 40),
    count=st.integers(1, 9),
    length=st.integers(1, 12),
    total=st.integers(1, 6),
    shuffle=st.booleans(),
)
def test_every_sample_once_a_pass(size, count, length, total, shuffle):
    made = TwoStreamSampler(
        Sizes(size, 0), count, epoch_length=length, seed=4, shuffle=shuffle
    )
    walk = [
        key
        for batches in epochs(made, range(total))
        for batch in batches
        for key in batch
    ]
    assert len(walk) == total * length * count
    for start in range(0, len(walk), size):
        one_pass = walk[start : start + size]
        assert {key.view for key in one_pass} == {start // size}
        indices = [key.index for key in one_pass]
        assert len(set(indices)) == len(indices)
        if len(indices) == size:
            assert sorted(indices) == list(range(size))
        if not shuffle:
            assert indices == list(range(len(indices)))


def test_walk_of_the_unlabelled_stream():
    made = TwoStreamSampler(Sizes(5, 7), 2, 3, epoch_length=7, seed=0)
    walk = [
        key.index
        for batches in epochs(made, range(2))
        for batch in batches
        for key in batch[2:]
    ]
    assert Counter(walk) == dict.fromkeys(range(5, 12), 6)
    orders = {tuple(walk[start : start + 7]) for start in range(0, 42, 7)}
    assert len(orders) > 1


def test_resuming_at_any_epoch_continues_the_walk():
    def make():
        made = TwoStreamSampler(Sizes(10, 23), 3, 4, seed=2)
        made.set_schedule(ALTERNATING)
        return made

    whole = epochs(make(), range(7))
    for start in range(7):
        assert epochs(make(), range(start, 7)) == whole[start:]
    assert epochs(make(), reversed(range(7))) == whole[::-1]
    other = TwoStreamSampler(Sizes(10, 23), 3, 4, seed=3)
    other.set_schedule(ALTERNATING)
    assert epochs(other, range(7)) != whole


def test_stages_draw_their_streams_only():
    made = TwoStreamSampler(Sizes(10, 23), 3, 4, seed=0)
    made.set_schedule(ALTERNATING)
    customization, distillation, _ = epochs(made, range(3))
    assert {len(batch) for batch in customization} == {3}
    assert all(key.index < 10 for batch in customization for key in batch)
    assert {len(batch) for batch in distillation} == {7}
    assert len(customization) == len(distillation) == made.epoch_length


def test_each_stage_continues_its_own_walk():
    made = TwoStreamSampler(Sizes(8, 8), 2, 2, seed=0)
    made.set_schedule(ALTERNATING)
    drawn = epochs(made, range(6))
    for numbers in ((0, 3), (1, 2, 4, 5)):
        walk = [
            key.index
            for number in numbers
            for batch in drawn[number]
            for key in batch[:2]
        ]
        for start in range(0, len(walk), 8):
            assert sorted(walk[start : start + 8]) == list(range(8))
    assert drawn[0] != drawn[3]


def test_no_view_is_met_twice_without_num_views():
    made = TwoStreamSampler(Sizes(6, 9), 4, 3, seed=0)
    made.set_schedule(ALTERNATING)
    keys = [
        key
        for batches in epochs(made, range(9))
        for batch in batches
        for key in batch
    ]
    assert len(set(keys)) == len(keys)


def test_views_cycle_with_num_views():
    made = TwoStreamSampler(Sizes(6, 12), 3, 3, num_views=2, seed=0)
    made.set_schedule(ALTERNATING)
    keys = [
        key
        for batches in epochs(made, range(9))
        for batch in batches
        for key in batch
    ]
    assert {key.view for key in keys} == {0, 1}
    made = TwoStreamSampler(Sizes(6, 6), 3, 3, num_views=2, seed=0)
    views = [
        {key.view for batch in batches for key in batch}
        for batches in epochs(made, range(4))
    ]
    assert views == [{0}, {1}, {0}, {1}]


@pytest.mark.parametrize('world_size', [2, 3])
def test_shards_are_disjoint_and_complete(ranks, world_size):
    sizes = Sizes(36, 72)
    made = ranks(world_size, sizes, 3, 6)
    # What one rank with the whole global batch draws.
    whole = ranks(1, sizes, 3 * world_size, 6 * world_size)[0]
    for epoch in range(3):
        shards = [epochs(one, [epoch])[0] for one in made]
        expected = epochs(whole, [epoch])[0]
        assert len(shards[0]) == len(expected) == 12 // world_size
        for number, batch in enumerate(expected):
            joined = [
                key
                for part in (slice(0, 3), slice(3, 9))
                for shard in shards
                for key in shard[number][part]
            ]
            assert joined == batch
        unlabelled = [
            key.index
            for shard in shards
            for batch in shard
            for key in batch[3:]
        ]
        assert sorted(unlabelled) == list(range(36, 108))


@pytest.mark.parametrize(
    'sizes, options, message',
    [
        ((10, 10), dict(labelled=0, unlabelled=4), 'batch size: labelled=0 '),
        ((10, 10), dict(labelled=-1, unlabelled=4), 'batch size: labelled=-1'),
        (
            (10, 10),
            dict(labelled=2.0, unlabelled=4),
            'batch size: labelled=2.0',
        ),
        ((10, 10), dict(labelled=2), 'unlabelled=0 .* 10 unlabelled images'),
        ((10, 0), dict(labelled=2, unlabelled=2), 'dataset has none'),
        ((10, 0), dict(labelled=2, epoch_length=0), 'epoch_length: .* got 0'),
        ((10, 0), dict(labelled=2, epoch_length='long'), "got 'long'"),
        ((10, 0), dict(labelled=2, num_views=0), 'num_views: .* got 0'),
        ((9, 0, 4), dict(labelled=2), 'synthetic=0 .* 4 synthetic images'),
        ((9, 0), dict(labelled=2, synthetic=3), 'synthetic=3 .* has none'),
        ((9, 0), dict(labelled=2, epoch_length='unlabelled'), 'no such str'),
        ((9, 0), dict(labelled=2, streams=('labeled',)), "'labelled'"),
        ((9, 0), dict(labelled=10, drop_last=True), 'no batch'),
    ],
)
def test_refused_options(sizes, options, message):
    with pytest.raises(UserError, match=message):
        TwoStreamSampler(Sizes(*sizes), seed=0, **options)


def test_stage_without_any_stream_is_refused():
    made = TwoStreamSampler(Sizes(10, 0), 2, seed=0)
    made.set_schedule(ALTERNATING)
    with pytest.raises(UserError, match="'other' draws from"):
        made.set_schedule(
            StageSchedule(
                [
                    Stage('distillation'),
                    Stage('other', streams=('unlabelled',)),
                ]
            )
        )


def test_batch_sampler_refuses_another_batch_size():
    made = TwoStreamSampler(Sizes(10, 10), 2, 3, seed=0)
    assert len(TwoStreamBatchSampler(made, 5)) == made.epoch_length
    with pytest.raises(UserError, match='batch_size: 5 is wanted.* got 8'):
        TwoStreamBatchSampler(made, 8)


PIPELINE = [
    dict(type='LoadImageFromFile'),
    dict(type='RandomResizedCrop', scale=8),
    dict(type='RandomFlip', prob=0.5),
    dict(type='ColorJitter', brightness=0.4),
    dict(type='PackInputs'),
]


@pytest.fixture
def dataset(two_domains):
    return TwoStreamDataset(
        *(
            dict(
                type='mmkd_custom.DomainFolder',
                data_root=two_domains,
                domain=name,
                pipeline=PIPELINE,
            )
            for name in ('Art', 'Real World')
        )
    )


def load(dataset, numbers, **options):
    """Gives the bytes and keys of every batch of some epochs."""
    made = TwoStreamSampler(dataset, 2, 3, seed=7)
    made.set_schedule(ALTERNATING)
    loader = DataLoader(
        dataset,
        batch_sampler=TwoStreamBatchSampler(made, 5),
        collate_fn=pseudo_collate,
        **options,
    )
    drawn = []
    for number in numbers:
        made.set_epoch(number)
        for batch in loader:
            drawn.append(
                (
                    torch.stack(batch['inputs']).numpy().tobytes(),
                    [(s.sample_idx, s.view) for s in batch['data_samples']],
                )
            )
    return drawn


@pytest.mark.parametrize(
    'options',
    [
        dict(num_workers=1),
        dict(num_workers=2),
        dict(num_workers=2, persistent_workers=True, prefetch_factor=3),
    ],
)
def test_batches_do_not_depend_on_the_workers(dataset, options):
    expected = load(dataset, range(3))
    torch.manual_seed(99)
    assert load(dataset, range(3), **options) == expected
    # 6 batches an epoch; a resume in epoch 1 sees what the whole run saw.
    assert load(dataset, range(1, 3), **options) == expected[6:]


def test_user_error_crosses_the_worker(dataset, two_domains):
    for path in Path(two_domains).glob('*/*/*.png'):
        path.write_bytes(b'no image')
    with pytest.raises(UserError) as caught:
        load(dataset, range(1), num_workers=1)
    assert 'this image cannot be read' in str(caught.value)
    assert 'Traceback' not in str(caught.value)


class HookedRunner:
    """The three attributes that MMEngine's seed hook reads."""

    def __init__(self, dataloader, epoch):
        self.train_loop = self
        self.dataloader = dataloader
        self.epoch = epoch


@pytest.mark.parametrize('scope', ['mmpretrain', 'mmkd_custom'])
def test_mmengine_builds_the_loader_and_sets_its_epoch(dataset, scope):
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
    assert keys == [list(map(tuple, batch)) for batch in fresh.batches()]


def test_labelled_stream_alone_in_epochs_of_the_same_length():
    both = TwoStreamSampler(Sizes(10, 60), 4, 5, seed=1)
    alone = TwoStreamSampler(
        Sizes(10, 60), 4, 5, seed=1, streams=('labelled',)
    )
    assert alone.epoch_length == both.epoch_length == 12
    for ours, theirs in zip(alone.batches(), both.batches()):
        assert ours == theirs[:4]
    TwoStreamBatchSampler(alone, 4)
    with pytest.raises(UserError, match='batch_size: 4'):
        TwoStreamBatchSampler(alone, 9)


def test_synthetic_samples_go_where_unlabelled_ones_go():
    made = TwoStreamSampler(Sizes(10, 23, 7), 3, 4, synthetic=2, seed=0)
    made.set_schedule(ALTERNATING)
    customization, distillation, second = epochs(made, range(3))
    assert all(
        len(batch) == 3 and all(key.index < 10 for key in batch)
        for batch in customization
    )
    for batch in distillation:
        assert [key.index // 10 * 10 for key in batch[:3]] == [0] * 3
        assert all(10 <= key.index < 33 for key in batch[3:7])
        assert all(33 <= key.index < 40 for key in batch[7:]), batch
        assert len(batch) == 9
    walk = [key.index for batch in distillation + second for key in batch[7:]]
    for start in range(0, 21, 7):
        assert sorted(walk[start : start + 7]) == list(range(33, 40))
    made.set_epoch(1)
    assert len(made) == len(list(made)) == made.epoch_length * 9
    assert (
        len(
            TwoStreamBatchSampler(
                TwoStreamSampler(Sizes(10, 23, 7), 3, 4, synthetic=2, seed=0),
                9,
            )
        )
        == 6
    )


def test_a_synthetic_stream_changes_nothing_else():
    plain = TwoStreamSampler(Sizes(10, 23), 3, 4, seed=0)
    made = TwoStreamSampler(Sizes(10, 23, 500), 3, 4, synthetic=1, seed=0)
    # However many there are: the length of an epoch stays.
    assert made.epoch_length == plain.epoch_length == 6
    for batches, others in zip(
        epochs(made, range(3)), epochs(plain, range(3))
    ):
        assert [batch[:7] for batch in batches] == others
    alone = TwoStreamSampler(
        Sizes(10, 23, 500), 3, 4, synthetic=1, seed=0, streams=('labelled',)
    )
    TwoStreamBatchSampler(alone, 3)
    assert {len(batch) for batch in alone.batches()} == {3}
    # Labelled and synthetic images alone.
    pair = TwoStreamSampler(Sizes(10, 0, 8), 3, synthetic=2, seed=0)
    assert {len(batch) for batch in pair.batches()} == {5}


@pytest.mark.parametrize(
    'policy, drop_last, length',
    [
        ('labelled', False, 4),
        ('labelled', True, 3),
        ('unlabelled', False, 6),
        ('unlabelled', True, 5),
        ('longer', False, 6),
        ('longer', True, 5),
        (2, False, 2),
        (2, True, 2),
    ],
)
def test_length_of_an_epoch(ranks, policy, drop_last, length):
    sizes = Sizes(20, 46, 99)
    options = dict(epoch_length=policy, drop_last=drop_last, synthetic=1)
    for world_size in (1, 2):
        each = (6 // world_size, 8 // world_size)
        for made in ranks(world_size, sizes, *each, **options):
            assert made.epoch_length == length
            for batch in made.batches():
                assert len(batch) == sum(each) + 1


@pytest.mark.parametrize('policy', ['longer', 'unlabelled'])
def test_an_epoch_runs_over_into_the_next_pass_or_ends_before(policy):
    def walk(drop_last):
        made = TwoStreamSampler(
            Sizes(10, 23),
            3,
            4,
            epoch_length=policy,
            seed=0,
            drop_last=drop_last,
        )
        assert TwoStreamBatchSampler(made, 7).drop_last == drop_last
        return [
            [key for batch in batches for key in batch[3:]]
            for batches in epochs(made, range(4))
        ], [
            [key for batch in batches for key in batch[:3]]
            for batches in epochs(made, range(4))
        ]

    over, labelled = walk(False)
    # Only the first begins with a pass.
    assert {key.index for key in over[0]} == set(range(10, 33))
    assert {key.view for key in over[0]} == {0, 1}
    counts = Counter(key.index for keys in over for key in keys)
    # 4 epochs of 24 are 96 = 4 * 23 + 4.
    assert set(counts.values()) == {4, 5}
    ends, labelled = walk(True)
    unseen = []
    for number, keys in enumerate(ends):
        indices = {key.index for key in keys}
        assert len(keys) == len(indices) == 20
        assert {key.view for key in keys} == {number}
        unseen.append(frozenset(range(10, 33)) - indices)
    assert len(set(unseen)) > 1
    # The shorter stream goes on: 4 epochs of 15 are 6 passes of 10.
    assert Counter(key.index for keys in labelled for key in keys) == (
        dict.fromkeys(range(10), 6)
    )


def test_drop_last_is_the_samplers():
    made = TwoStreamSampler(Sizes(10, 10), 2, 3, seed=0)
    TwoStreamBatchSampler(made, 5, drop_last=False)
    with pytest.raises(UserError, match='drop_last=True of the batch_sampler'):
        TwoStreamBatchSampler(made, 5, drop_last=True)


def test_the_walk_is_pinned():
    # Of NumPy's frozen RandomState: the same on every machine and version. A
    # run that was started with an older version goes on with its batches.
    hashed = hashlib.sha256()
    for options in (dict(), dict(num_views=4), dict(epoch_length=7)):
        made = TwoStreamSampler(Sizes(50, 90), 9, 7, seed=3, **options)
        made.set_schedule(ALTERNATING)
        for batches in epochs(made, range(5)):
            keys = [tuple(key) for batch in batches for key in batch]
            hashed.update(repr(keys).encode())
    assert hashed.hexdigest() == (
        'd858f963fd03152ee14316a455e8455cc00529c298b375dc8c7bc7cefe2e1ab3'
    )


@pytest.fixture
def all_streams(two_domains, tmp_path, write_image):
    """Every stream and every view that there is."""
    for number in range(4):
        write_image(tmp_path / 'made' / f'{number}.png', seed=900 + number)
    weak = PIPELINE[:-2] + PIPELINE[-1:]
    return TwoStreamDataset(
        *(
            dict(
                type='mmkd_custom.DomainFolder',
                data_root=two_domains,
                domain=name,
                pipeline=PIPELINE,
            )
            for name in ('Art', 'Real World')
        ),
        synthetic=ImageFolder(str(tmp_path / 'made'), pipeline=PIPELINE),
        teacher_pipeline=weak,
        strong_pipeline=PIPELINE,
        share_geometry=False,
        seed=5,
    )


def collated(dataset, numbers, workers):
    """Every byte of the batches of some epochs, from a new loader."""
    made = TwoStreamSampler(dataset, 2, 3, synthetic=1, seed=7)
    made.set_schedule(ALTERNATING)
    loader = DataLoader(
        dataset,
        batch_sampler=TwoStreamBatchSampler(made, 6),
        collate_fn=default_collate,
        num_workers=workers,
        persistent_workers=workers > 0,
    )
    found = []
    for number in numbers:
        made.set_epoch(number)
        for batch in loader:
            samples = batch.pop('data_samples')
            found.append(
                (
                    [(k, v.numpy().tobytes()) for k, v in batch.items()],
                    [s.metainfo for s in samples],
                    [s.gt_label.tolist() for s in samples if s.keys()],
                )
            )
    return found


def test_every_byte_is_the_same_for_any_workers_and_any_restart(all_streams):
    whole = collated(all_streams, range(4), 0)
    per_epoch = len(whole) // 4
    names = [name for name, _ in whole[per_epoch][0]]
    assert names == ['inputs', 'teacher_inputs', 'strong_inputs']
    streams = [meta['stream'] for meta in whole[per_epoch][1]]
    assert streams == ['labelled'] * 2 + ['unlabelled'] * 3 + ['synthetic']
    assert len({tuple(batch[0]) for batch in whole}) == len(whole)
    for workers in (1, 2):
        assert collated(all_streams, range(4), workers) == whole
    for start in range(1, 4):
        rest = collated(all_streams, range(start, 4), start % 3)
        assert rest == whole[start * per_epoch :]


class NoteWorker:
    """A transform that notes the process it runs in."""

    def __call__(self, results):
        return dict(results, worker=os.getpid())


def test_repeated_labelled_data_needs_no_new_workers(two_domains):
    pack = dict(type='PackInputs', meta_keys=('worker', 'sample_idx'))
    dataset = TwoStreamDataset(
        dict(
            type='mmkd_custom.DomainFolder',
            data_root=two_domains,
            domain='Art',
            pipeline=[PIPELINE[0], NoteWorker(), pack],
        ),
        dict(
            type='mmkd_custom.DomainFolder',
            data_root=two_domains,
            domain='Real World',
            pipeline=PIPELINE,
        ),
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


@pytest.mark.parametrize('drop_last', [False, True])
def test_ranks_share_a_pass_whatever_the_batches(ranks, drop_last):
    made = ranks(2, Sizes(11, 29, 5), 2, 3, synthetic=1, drop_last=drop_last)
    drawn = [epochs(one, range(6)) for one in made]
    passes = {}
    for batches in drawn:
        for batch in itertools.chain(*batches):
            for place, key in enumerate(batch):
                stream = (place >= 2) + (place >= 5)
                passes.setdefault((stream, key.view), []).append(key.index)
    sizes = [range(11), range(11, 40), range(40, 45)]
    whole = 0
    for (stream, _), indices in passes.items():
        # Disjoint within a pass ...
        assert len(set(indices)) == len(indices)
        assert set(indices) <= set(sizes[stream])
        whole += len(indices) == len(sizes[stream])
    # ... and complete together, but for the pass that is going on.
    assert whole >= len(passes) - (3 if not drop_last else 2 + 6)


@pytest.mark.slow
class TestTwoRanks(TwoRanks):
    """Runs in two gloo processes."""

    def test_shards_are_disjoint_and_complete(self):
        self.join_group()
        # Without a seed of its own, which the ranks must then agree on.
        np.random.seed(self.rank)
        made = TwoStreamSampler(Sizes(12, 36, 6), 2, 6, synthetic=1)
        made.set_epoch(2)
        keys = [list(map(tuple, batch)) for batch in made.batches()]
        shards = [None, None]
        dist.all_gather_object(shards, keys)
        assert made.world_size == 2 and len(keys) == 3
        for part, pool in (
            (slice(0, 2), range(12)),
            (slice(2, 8), range(12, 48)),
            (slice(8, 9), range(48, 54)),
        ):
            mine, other = (
                [key for batch in shard for key in batch[part]]
                for shard in shards
            )
            assert not set(mine) & set(other)
            assert sorted(i for i, _ in mine + other) == list(pool)


def test_batches_can_be_marked():
    made = TwoStreamSampler(Sizes(4, 6), 2, 3, seed=0)
    batches = TwoStreamBatchSampler(made, 5)
    plain = list(batches)
    batches.mark = lambda keys: [(key, len(keys)) for key in keys]
    assert list(batches) == [[(key, 5) for key in keys] for keys in plain]
    assert len(batches) == len(plain)
