"""Filling a cache ahead, and computing parts of it anew."""

from pathlib import Path

import pytest
import torch

from mmkd_custom.cache import fill as module
from mmkd_custom.cache.fill import fill_cache
from mmkd_custom.cache.store import FeatureStore
from mmkd_custom.errors import UserError
from mmkd_custom.models.teachers import FrozenTeacher

EXACT = {'model.teacher.cache_dtype': 'float32'}
#: What computing in other batches may bring, in single precision.
COMPUTING = 2e-3 if torch.cuda.is_available() else 1e-5


@pytest.fixture
def fill(small_runner, monkeypatch):
    """Fills the cache of the small config, as the tool does."""

    def run(batch_size=7, verify=0, edit=lambda config: None, **options):
        runner = small_runner('work', edit=edit, **options)
        runner.cfg.work_dir = runner.work_dir
        monkeypatch.setattr(module, 'build_runner', lambda *_: runner)
        (report,) = fill_cache(runner.cfg, batch_size, verify)
        return report, runner.model.teacher.store

    return run


def test_every_view_of_every_sample(fill, small_runner, tmp_path):
    report, store = fill(verify=20)
    assert report['entries'] == report['computed'] == 18 * 4
    assert report['entry_bytes'] == 256 * 2 + 4
    assert report['bytes'] == 72 * report['entry_bytes']
    assert Path(report['folder']) == tmp_path / 'work' / 'teacher_cache'
    assert (report['verified'], report['damaged']) == (20, 0)
    assert 0 < report['largest_error'] < report['tolerance']
    assert report['tolerance'] == COMPUTING + 2**-11
    # It goes on where it ended; the same images in another batch.
    before = store._arrays['feature'].copy()
    store._checksums[3:5, 1] = 0
    report, store = fill()
    assert (report['computed'], report['entries']) == (2, 72)
    after = store._arrays['feature']
    assert abs(after - before).max() < 1e-2 * abs(before).max()
    # The run then asks the teacher about nothing but for its report.
    run = small_runner('work', epochs=4)
    asked = []
    run.model.teacher.teacher.register_forward_pre_hook(
        lambda _, args: asked.append(len(args[0]))
    )
    run.train()
    assert asked == [1, 1]


def test_exact_in_single_precision(fill):
    report, _ = fill(verify=1000, **EXACT)
    assert report['verified'] == 72
    assert report['largest_error'] <= report['tolerance'] == COMPUTING


def change(store, key, factor):
    key = torch.tensor([key[:1]]), torch.tensor([key[1:]])
    key = [part.flatten() for part in key]
    values, _ = store.read(*key)
    store.write(*key, dict(feature=values['feature'] * factor))


@pytest.mark.parametrize('wrong', [(0, 0), (7, 1), (17, 3)])
def test_one_wrong_entry_is_found_wherever_it_is(fill, wrong):
    _, store = fill(**EXACT)
    change(store, wrong, 1 + 2 * COMPUTING)
    with pytest.raises(UserError, match=f'in view {wrong[1]}'):
        fill(verify=72, **EXACT)


def test_damaged_entries_are_counted_and_hide_no_wrong_one(fill):
    _, store = fill()
    store._arrays['feature'][4, 1] = float('nan')
    report, _ = fill(verify=72)
    assert (report['verified'], report['damaged']) == (71, 1)
    # In one batch with it.
    change(store, (5, 0), 2.0)
    with pytest.raises(UserError, match='in view 0'):
        fill(batch_size=72, verify=72)


def test_entries_are_drawn_among_those_that_are_there(tmp_path):
    store = FeatureStore(tmp_path / 'cache', {}, 20, 3, {'feature': (1,)})
    assert len(module._draw(store, 3)) == 0
    store._checksums[0, 0] = store._checksums[19, 2] = 1
    assert sorted(map(tuple, module._draw(store, 5))) == [(0, 0), (19, 2)]
    store._checksums[:] = 1
    draws = {tuple(map(tuple, module._draw(store, 5))) for _ in range(5)}
    assert len(draws) > 1
    assert all(len(set(draw)) == 5 for draw in draws)


class Parts(FrozenTeacher):
    """Is made of teachers with dtypes of their own."""

    def __init__(self, *parts, dtype='float32'):
        super().__init__([0.0] * 3, [1.0] * 3, dtype=dtype)
        self.layer = torch.nn.Linear(1, 1)
        self.add_module('parts', torch.nn.ModuleList(parts))


def test_the_coarsest_part_of_a_teacher_says_what_is_tolerated(tmp_path):
    shapes = {'feature': (1,)}
    store = FeatureStore(tmp_path / 'cache', {}, 1, 1, shapes, 'float32')
    assert module._tolerance(Parts(), store) == 1e-5
    half = Parts(dtype='float16')
    assert module._tolerance(Parts(Parts(), half), store) == 5e-3


def uncached(config):
    config.model.teacher = config.model.teacher.teacher


@pytest.mark.parametrize(
    'arguments, word',
    [
        (dict(batch_size=0), '--batch-size'),
        (dict(verify=-1), '--verify'),
        (dict(edit=uncached), 'CachedTeacher'),
        ({'train_dataloader.sampler.num_views': None}, 'num_views'),
    ],
)
def test_what_cannot_be_filled(fill, arguments, word):
    with pytest.raises(UserError, match=word):
        fill(**arguments)
