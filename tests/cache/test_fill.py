"""Filling a cache ahead, and computing parts of it anew."""

import os
import re
import shutil
from pathlib import Path

import pytest
import torch

from mmkd_custom.cache import fill as module
from mmkd_custom.cache.fill import fill_cache
from mmkd_custom.engine import launch
from mmkd_custom.errors import UserError


@pytest.fixture
def fill(small_runner, monkeypatch):
    """Fills the cache of the small config, as the tool does."""

    def run(work_dir='work', batch_size=7, verify=0, edit=None, **options):
        runner = small_runner(
            work_dir, edit=edit or (lambda config: None), **options
        )
        runner.cfg.work_dir = runner.work_dir
        monkeypatch.setattr(module, 'build_runner', lambda config: runner)
        return fill_cache(runner.cfg, batch_size, verify), runner

    return run


def test_every_view_of_every_sample(fill, small_runner, caplog):
    report, runner = fill(verify=20)
    assert report['entries'] == report['computed'] == 18 * 4
    assert report['entry_bytes'] == 256 * 2 + 4
    assert report['bytes'] == 72 * report['entry_bytes']
    folder = Path(report['folder'])
    assert folder == Path(runner.work_dir, 'teacher_cache')
    assert report['verified'] == 20
    assert 0 < report['largest_error'] < report['tolerance'] < 1e-3
    again, _ = fill()
    assert (again['entries'], again['computed']) == (72, 0)
    # The run then asks the teacher about nothing but for its report.
    run = small_runner('work', epochs=4)
    asked = []
    run.model.teacher.teacher.register_forward_pre_hook(
        lambda _, args: asked.append(len(args[0]))
    )
    run.train()
    assert asked == [1, 1]


def test_it_says_what_it_takes_before_it_starts(fill, tmp_path):
    fill()
    log = next((tmp_path / 'work').rglob('*.log')).read_text()
    assert '72 of 72 entries to compute; 516 bytes each' in log
    assert re.search(r'GB left free; about \d+:\d\d:\d\d on 1 rank', log)


def test_it_goes_on_where_it_ended(fill, monkeypatch):
    _, runner = fill()
    store = runner.model.teacher.store
    before = store._arrays['feature'].copy()
    store._checksums[3:5, 1] = 0
    report, _ = fill()
    assert (report['computed'], report['entries']) == (2, 72)
    # The same images in another batch.
    after = store._arrays['feature']
    assert abs(after - before).max() < 1e-2 * abs(before).max()


def test_an_entry_that_is_not_what_the_teacher_says(fill):
    _, runner = fill()
    store = runner.model.teacher.store
    wrong = torch.tensor([4]), torch.tensor([2])
    values, _ = store.read(*wrong)
    store.write(*wrong, dict(feature=values['feature'] * 1.05))
    with pytest.raises(
        UserError, match=r'feature of .*/art/.* in view 2 differs by 0.0'
    ):
        fill(verify=1000)


def test_exact_in_single_precision(fill):
    report, _ = fill(verify=72, **{'model.teacher.cache_dtype': 'float32'})
    assert report['verified'] == 72
    assert report['largest_error'] <= report['tolerance'] == 1e-5


def test_changed_pixels_are_noticed(fill, tmp_path):
    fill(verify=72)
    # One that the digest of the dataset does not look at is too much to ask
    # of nine images; so the digest is the same by force.
    image = sorted((tmp_path / 'data' / 'photo').rglob('*.*'))[0]
    other = sorted((tmp_path / 'data' / 'photo').rglob('*.*'))[-1]
    image.write_bytes(other.read_bytes())
    with pytest.raises(UserError, match='dataset_sha256'):
        fill(verify=72)


def test_a_disk_that_is_too_small(fill, monkeypatch, tmp_path):
    usage = shutil.disk_usage(tmp_path)._replace(free=10_000)
    monkeypatch.setattr(shutil, 'disk_usage', lambda path: usage)
    with pytest.raises(UserError, match='takes 0.00 GB, but 0.00 GB of'):
        fill()
    # Nothing is left behind.
    assert not list(tmp_path.rglob('*teacher_cache*'))


def test_a_disk_that_fills_up_while_it_is_made(fill, monkeypatch, tmp_path):
    def full(*_):
        raise OSError(28, 'No space left on device')

    monkeypatch.setattr(os, 'posix_fallocate', full)
    with pytest.raises(UserError, match='cannot be made.*No space left'):
        fill()
    assert not list(tmp_path.rglob('*teacher_cache*'))


def uncached(config):
    config.model.teacher = config.model.teacher.teacher


@pytest.mark.parametrize(
    'arguments, words',
    [
        (dict(batch_size=0), '--batch-size 0: a whole number >= 1'),
        (dict(verify=-1), '--verify -1'),
        (
            dict(edit=uncached),
            'model.teacher: a CachedTeacher is wanted',
        ),
        (
            {'train_dataloader.sampler.num_views': None},
            'num_views',
        ),
    ],
)
def test_what_cannot_be_filled(fill, arguments, words):
    with pytest.raises(UserError, match=words):
        fill(**arguments)


def test_the_runner_is_that_of_a_run(monkeypatch):
    assert module.build_runner is launch.build_runner
