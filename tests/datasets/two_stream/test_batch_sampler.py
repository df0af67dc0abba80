"""How long epochs and how large batches are, and what is refused."""

from collections import Counter

import pytest

from mmkd_custom.datasets.two_stream import SampleKey, TwoStreamBatchSampler
from mmkd_custom.errors import UserError
from mmkd_custom.stages import Stage, StageSchedule
from tests.datasets.two_stream.helpers import ALTERNATING, keys, make


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
    options = dict(epoch_length=policy, drop_last=drop_last, synthetic=1)
    for world_size in (1, 2):
        each = (6 // world_size, 8 // world_size)
        # Synthetic images, however many there are, do not count.
        for made in ranks(world_size, (20, 46, 99), *each, **options):
            assert made.epoch_length == length
            for batch in made.batches():
                assert len(batch) == sum(each) + 1


@pytest.mark.parametrize('policy', ['longer', 'unlabelled'])
def test_an_epoch_runs_over_into_the_next_pass_or_ends_before(policy):
    over, ends = (
        make((10, 23), 3, 4, epoch_length=policy, drop_last=drop_last)
        for drop_last in (False, True)
    )
    # Only the first begins with a pass.
    first = keys(over, [0], slice(3, None))
    assert {key.index for key in first} == set(range(10, 33))
    assert {key.view for key in first} == {0, 1}
    counts = Counter(k.index for k in keys(over, range(4), slice(3, None)))
    # 4 epochs of 24 are 96 = 4 * 23 + 4.
    assert set(counts.values()) == {4, 5}
    unseen = set()
    for number in range(4):
        drawn = keys(ends, [number], slice(3, None))
        indices = {key.index for key in drawn}
        assert len(drawn) == len(indices) == 20
        assert {key.view for key in drawn} == {number}
        unseen.add(frozenset(range(10, 33)) - indices)
    assert len(unseen) > 1
    # The shorter stream goes on: 4 epochs of 15 are 6 passes of 10.
    walk = keys(ends, range(4), slice(3))
    assert Counter(k.index for k in walk) == dict.fromkeys(range(10), 6)


@pytest.mark.parametrize(
    'sizes, options, words',
    [
        ((10, 10), dict(labelled=0, unlabelled=4), ['labelled=0']),
        ((10, 10), dict(labelled=-1, unlabelled=4), ['labelled=-1']),
        ((10, 10), dict(labelled=2.0, unlabelled=4), ['labelled=2.0']),
        ((10, 10), dict(labelled=2), ['unlabelled=0', '10']),
        ((10, 0), dict(labelled=2, unlabelled=2), ['unlabelled=0', '2']),
        ((10, 0), dict(labelled=2, epoch_length=0), ['epoch_length', '0']),
        ((10, 0), dict(labelled=2, epoch_length='long'), ["'long'"]),
        ((10, 0), dict(labelled=2, epoch_length='unlabelled'), ['epoch_len']),
        ((10, 0), dict(labelled=2, num_views=0), ['num_views', '0']),
        ((9, 0, 4), dict(labelled=2), ['synthetic=0', '4']),
        ((9, 0), dict(labelled=2, synthetic=3), ['synthetic=0', '3']),
        ((9, 0), dict(labelled=2, streams=('labeled',)), ["'labelled'"]),
        ((9, 0), dict(labelled=10, drop_last=True), ['drop_last']),
    ],
)
def test_refused_options(sizes, options, words):
    with pytest.raises(UserError) as error:
        make(sizes, **options)
    assert all(word in str(error.value) for word in words)


def test_stage_without_any_stream_is_refused():
    made = make((10, 0), 2, schedule=ALTERNATING)
    other = Stage('other', streams=('unlabelled',))
    with pytest.raises(UserError, match="'other'"):
        made.set_schedule(StageSchedule([Stage('distillation'), other]))


@pytest.mark.parametrize(
    'options, size',
    [
        (dict(), 7),
        (dict(streams=('labelled',)), 3),
        (dict(synthetic=2), 9),
    ],
)
def test_batch_sampler_has_the_size_of_the_batches(options, size):
    made = make((10, 23, 2 * ('synthetic' in options)), 3, 4, **options)
    batches = TwoStreamBatchSampler(made, size, drop_last=False)
    assert len(batches) == made.epoch_length == 6
    assert {len(batch) for batch in batches} == {size}
    with pytest.raises(UserError, match=f'batch_size: .*{size}.*{size + 1}'):
        TwoStreamBatchSampler(made, size + 1)
    with pytest.raises(UserError, match='drop_last'):
        TwoStreamBatchSampler(made, size, drop_last=True)


def test_batches_are_marked():
    made = make((4, 6), 2, 3)
    batches = TwoStreamBatchSampler(made, 5)
    plain = list(batches)
    batches.mark = lambda keys: [key._replace(images=()) for key in keys]
    assert list(batches) == [
        [SampleKey(*key[:2], ()) for key in batch] for batch in plain
    ]
