"""Which entries are drawn, and what counts as wrong."""

from types import SimpleNamespace

import pytest
import torch
from mmpretrain.structures import DataSample

from mmkd_custom.cache import verify as module
from mmkd_custom.cache.store import FeatureStore
from mmkd_custom.cache.verify import verify_cache
from mmkd_custom.errors import UserError
from mmkd_custom.models.distillers import make_batch
from mmkd_custom.models.teachers import FrozenTeacher

SAMPLES, VIEWS, WIDTH = 20, 3, 4


class Numbers(FrozenTeacher):
    """Its feature is its input; parts may have a dtype of their own."""

    def __init__(self, *parts, dtype='float32'):
        super().__init__([0.0] * 3, [1.0] * 3, dtype=dtype)
        self.layer = torch.nn.Linear(1, 1)
        self.add_module('parts', torch.nn.ModuleList(parts))

    def forward(self, inputs, wants):
        return SimpleNamespace(named_tensors=lambda: dict(feature=inputs))


def feature(sample, view):
    return torch.arange(WIDTH) + 10.0 * sample + view


@pytest.fixture
def stand_in(tmp_path, monkeypatch):
    """A runner whose images are the features themselves, and its store."""
    store = FeatureStore(
        tmp_path / 'cache',
        {},
        SAMPLES,
        VIEWS,
        {'feature': (WIDTH,)},
        'float32',
    )
    teacher = Numbers()
    model = SimpleNamespace(
        teacher=SimpleNamespace(store=store, teacher=teacher),
        teacher_images=lambda batch: batch.inputs,
    )
    dataset = SimpleNamespace(
        locate=lambda index: ('labelled', index),
        labelled=SimpleNamespace(
            get_data_info=lambda index: dict(img_path=f'image {index}')
        ),
    )
    runner = SimpleNamespace(
        model=model, train_dataloader=SimpleNamespace(dataset=dataset)
    )

    def batches(runner, model, keys, batch_size):
        for start in range(0, len(keys), batch_size):
            part = torch.from_numpy(keys[start : start + batch_size])
            samples = [DataSample() for _ in part]
            for sample, (index, view) in zip(samples, part.tolist()):
                sample.set_metainfo(dict(sample_idx=index, view=view))
            yield make_batch(
                torch.stack([feature(*key) for key in part.tolist()]), samples
            )

    monkeypatch.setattr(module, 'batches_of', batches)
    return runner, store


def write(store, *keys, factor=1.0):
    samples, views = torch.tensor(keys).unbind(1)
    values = torch.stack([feature(*key) for key in keys])
    store.write(samples, views, dict(feature=values * factor))


def every():
    return [(i, view) for i in range(SAMPLES) for view in range(VIEWS)]


@pytest.mark.parametrize('count, verified', [(1, 1), (7, 7), (1000, 60)])
def test_as_many_as_asked_for(stand_in, count, verified):
    runner, store = stand_in
    write(store, *every())
    assert verify_cache(runner, count, 8) == dict(
        verified=verified, largest_error=0.0, tolerance=1e-5, damaged=0
    )


def test_few_entries_among_many_places_are_found(stand_in):
    runner, store = stand_in
    assert verify_cache(runner, 3, 8)['verified'] == 0
    write(store, (0, 0), (19, 2))
    for _ in range(10):
        assert verify_cache(runner, 2, 8)['verified'] == 2


def test_another_draw_each_time(stand_in):
    _, store = stand_in
    write(store, *every())
    draws = {tuple(map(tuple, module._draw(store, 5))) for _ in range(5)}
    assert len(draws) > 1
    assert all(len(set(draw)) == 5 for draw in draws)
    assert {key for key in map(tuple, module._draw(store, 60))} == set(every())


@pytest.mark.parametrize('wrong', [(0, 0), (7, 1), (19, VIEWS - 1)])
def test_one_wrong_entry_wherever_it_is(stand_in, wrong):
    runner, store = stand_in
    write(store, *every())
    write(store, wrong, factor=1 + 1e-3)
    with pytest.raises(
        UserError,
        match=rf'feature of image {wrong[0]} in view {wrong[1]} differs by '
        '0.00',
    ):
        verify_cache(runner, 60, 8)


def test_a_teacher_that_says_nothing_finite(stand_in, monkeypatch):
    runner, store = stand_in
    write(store, *every())
    usual = feature

    def broken(sample, view):
        values = usual(sample, view)
        return (
            values.fill_(float('nan')) if (sample, view) == (3, 1) else values
        )

    monkeypatch.setitem(globals(), 'feature', broken)
    with pytest.raises(UserError, match='image 3 in view 1 differs by inf'):
        verify_cache(runner, 60, 8)


def test_a_damaged_entry_is_counted_and_hides_no_wrong_one(stand_in):
    runner, store = stand_in
    write(store, *every())
    store._arrays['feature'][4, 1] = float('nan')
    report = verify_cache(runner, 60, 60)
    assert (report['verified'], report['damaged']) == (59, 1)
    write(store, (5, 0), factor=2.0)
    # In one batch with it.
    with pytest.raises(UserError, match='image 5 in view 0 differs by 1 of'):
        verify_cache(runner, 60, 60)


def test_the_coarsest_part_of_a_teacher_says_what_is_tolerated(stand_in):
    _, store = stand_in
    assert module._tolerance(Numbers(), store) == 1e-5
    half = Numbers(dtype='float16')
    assert module._tolerance(half, store) == 5e-3
    assert module._tolerance(Numbers(Numbers(), half), store) == 5e-3
