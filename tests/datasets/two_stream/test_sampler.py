"""Batches of all streams as a function of the epoch."""

import hashlib
import itertools

import numpy as np
import pytest
import torch.distributed as dist
from hypothesis import given, settings
from hypothesis import strategies as st

from mmkd_custom.datasets.two_stream import SampleKey
from tests.datasets.two_stream.helpers import ALTERNATING, epochs, keys, make
from tests.two_ranks import TwoRanks


def test_batches_hold_labelled_then_unlabelled_then_synthetic():
    made = make((10, 23, 7), 3, 4, synthetic=2)
    batches = list(made.batches())
    # 23 unlabelled images in fours take 6 batches, 10 in threes take 4.
    assert made.epoch_length == len(batches) == 6
    assert len(made) == len(list(made)) == 6 * 9
    assert list(made) == list(itertools.chain(*batches))
    for batch in batches:
        assert all(isinstance(key, SampleKey) for key in batch)
        assert all(key.images is None for key in batch)
        starts = [0] * 3 + [10] * 4 + [33] * 2
        ends = [10] * 3 + [33] * 4 + [40] * 2
        assert len(batch) == 9
        assert all(a <= k.index < b for a, k, b in zip(starts, batch, ends))


@settings(max_examples=40, deadline=None)
@given(
    size=st.integers(1, 40),
    count=st.integers(1, 9),
    length=st.integers(1, 12),
    total=st.integers(1, 6),
    shuffle=st.booleans(),
)
def test_every_sample_once_a_pass(size, count, length, total, shuffle):
    made = make((size, 0), count, epoch_length=length, shuffle=shuffle)
    walk = keys(made, range(total))
    assert len(walk) == total * length * count
    for start in range(0, len(walk), size):
        one_pass = walk[start : start + size]
        assert {key.view for key in one_pass} == {start // size}
        indices = [key.index for key in one_pass]
        assert len(set(indices)) == len(indices)
        if not shuffle:
            assert indices == list(range(len(indices)))


def test_resuming_at_any_epoch_continues_the_walk():
    options = (10, 23), 3, 4

    def fresh(seed=2):
        return make(*options, schedule=ALTERNATING, seed=seed)

    whole = epochs(fresh(), range(7))
    for start in range(7):
        assert epochs(fresh(), range(start, 7)) == whole[start:]
    assert epochs(fresh(), reversed(range(7))) == whole[::-1]
    assert epochs(fresh(seed=3), range(7)) != whole


def test_stages_draw_their_streams_in_walks_of_their_own():
    made = make((8, 23, 7), 2, 4, synthetic=1, schedule=ALTERNATING)
    drawn = epochs(made, range(6))
    assert {len(batch) for batch in drawn[0]} == {2}
    # Synthetic images go where unlabelled ones go.
    assert {len(batch) for batch in drawn[1]} == {7}
    assert {len(batches) for batches in drawn} == {made.epoch_length}
    made.set_epoch(0)
    assert len(made) == made.epoch_length * 2
    for numbers in ((0, 3), (1, 2, 4, 5)):
        walk = [key.index for key in keys(made, numbers, slice(2))]
        for start in range(0, len(walk), 8):
            one_pass = walk[start : start + 8]
            assert len(set(one_pass)) == len(one_pass)
    assert drawn[0] != drawn[3]
    # One synthetic image a batch, seven of them a pass.
    walk = [key.index for key in keys(made, (1, 2), slice(6, 7))]
    assert sorted(walk[:7]) == list(range(31, 38))


def test_views_are_new_or_cycle():
    fresh = make((6, 9), 4, 3, schedule=ALTERNATING)
    drawn = keys(fresh, range(9))
    assert len(set(drawn)) == len(drawn)
    cycling = make((6, 12), 3, 3, num_views=2, schedule=ALTERNATING)
    assert {key.view for key in keys(cycling, range(9))} == {0, 1}
    made = make((6, 6), 3, 3, num_views=2)
    views = [{key.view for key in keys(made, [n])} for n in range(4)]
    assert views == [{0}, {1}, {0}, {1}]


@pytest.mark.parametrize('world_size', [2, 3])
def test_shards_are_disjoint_and_complete(ranks, world_size):
    sizes = (36, 72)
    made = ranks(world_size, sizes, 3, 6)
    # What one rank with the whole global batch draws.
    whole = ranks(1, sizes, 3 * world_size, 6 * world_size)[0]
    for epoch in range(3):
        shards = [epochs(one, [epoch])[0] for one in made]
        expected = epochs(whole, [epoch])[0]
        assert len(shards[0]) == len(expected) == 12 // world_size
        for number, batch in enumerate(expected):
            parts = [
                shard[number][part]
                for part in (slice(0, 3), slice(3, 9))
                for shard in shards
            ]
            assert list(itertools.chain(*parts)) == batch


@pytest.mark.parametrize('drop_last', [False, True])
def test_ranks_share_a_pass_whatever_the_batches(ranks, drop_last):
    made = ranks(2, (11, 29, 5), 2, 3, synthetic=1, drop_last=drop_last)
    passes = {}
    for batch in itertools.chain(
        *(b for m in made for b in epochs(m, [*range(6)]))
    ):
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
        made = make((12, 36, 6), 2, 6, synthetic=1, seed=None)
        drawn = epochs(made, [2])[0]
        shards = [None, None]
        dist.all_gather_object(shards, drawn)
        assert made.world_size == 2 and len(drawn) == 3
        for part, pool in (
            (slice(0, 2), range(12)),
            (slice(2, 8), range(12, 48)),
            (slice(8, 9), range(48, 54)),
        ):
            indices = [
                key.index
                for shard in shards
                for batch in shard
                for key in batch[part]
            ]
            assert sorted(indices) == list(pool)


def test_other_streams_change_nothing():
    both = make((10, 60), 4, 5)
    alone = make((10, 60), 4, 5, streams=('labelled',))
    more = make((10, 60, 500), 4, 5, synthetic=1)
    assert {m.epoch_length for m in (both, alone, more)} == {12}
    for theirs, ours, longer in zip(
        both.batches(), alone.batches(), more.batches()
    ):
        assert ours == theirs[:4] and longer[:9] == theirs
    # Labelled and synthetic images alone.
    pair = make((10, 0, 8), 3, synthetic=2)
    assert {len(batch) for batch in pair.batches()} == {5}


def test_the_walk_is_pinned():
    # Of NumPy's frozen RandomState: the same on every machine and version. A
    # run that was started with an older version goes on with its batches.
    hashed = hashlib.sha256()
    for options in (dict(), dict(num_views=4), dict(epoch_length=7)):
        made = make((50, 90), 9, 7, seed=3, schedule=ALTERNATING, **options)
        for number in range(5):
            drawn = [tuple(key[:2]) for key in keys(made, [number])]
            hashed.update(repr(drawn).encode())
    assert hashed.hexdigest() == (
        'd858f963fd03152ee14316a455e8455cc00529c298b375dc8c7bc7cefe2e1ab3'
    )
