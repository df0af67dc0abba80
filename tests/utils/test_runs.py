"""Which checkpoint a run goes on from, and what makes a folder a used one."""

import os
from datetime import datetime

import pytest
import torch

from mmkd_custom.errors import UserError
from mmkd_custom.utils.runs import (
    RUN_KEY,
    check_work_dir,
    differing,
    latest_checkpoint,
    left_by_run,
    run_of,
)


def save(path, seconds=1000, run=None, iters=10, **more):
    """Writes a checkpoint that is as old as a time says."""
    unit, number = path.stem.split('_')
    number = int(number)
    meta = dict(epoch=number, iter=iters * number)
    if unit == 'iter':
        meta = dict(epoch=number // iters, iter=number)
    hub = dict(runtime_info={} if run is None else {RUN_KEY: run})
    torch.save(dict(meta=meta, message_hub=hub, **more), path)
    os.utime(path, (seconds, seconds))
    return path


def damage(path):
    """Flips 1 024 bytes in the middle."""
    content = bytearray(path.read_bytes())
    middle = len(content) // 2
    for place in range(middle, middle + 1024):
        content[place] ^= 0xFF
    path.write_bytes(content)


def test_the_highest_epoch_wins_whatever_the_times(tmp_path):
    assert latest_checkpoint(tmp_path) is None
    assert latest_checkpoint(tmp_path / 'missing') is None
    for epoch, seconds in ((9, 3000), (10, 1000), (8, 2000)):
        save(tmp_path / f'epoch_{epoch}.pth', seconds)
    assert latest_checkpoint(tmp_path).name == 'epoch_10.pth'
    assert latest_checkpoint(str(tmp_path)).name == 'epoch_10.pth'
    # Of a loop that also saves by iterations: within the epoch that follows.
    save(tmp_path / 'iter_105.pth', 500)
    assert latest_checkpoint(tmp_path).name == 'iter_105.pth'
    save(tmp_path / 'epoch_11.pth', 100)
    assert latest_checkpoint(tmp_path).name == 'epoch_11.pth'


def test_a_name_counts_for_less_than_what_the_file_says(tmp_path):
    right = save(tmp_path / 'epoch_9.pth')
    (tmp_path / 'epoch_99.pth').write_bytes(right.read_bytes())
    assert latest_checkpoint(tmp_path) == right
    with pytest.raises(UserError, match='epoch_99.pth: is of epoch 9'):
        latest_checkpoint(tmp_path, strict=True)


def test_what_is_no_numbered_checkpoint_is_not_taken(tmp_path):
    for name in ('student.pth', 'best_top1_epoch_3.pth', 'epoch_last.pth'):
        torch.save({}, tmp_path / name)
    # MMEngine's pointer, as a kill can leave it.
    (tmp_path / 'last_checkpoint').write_text(str(tmp_path / 'epoch_9.pth'))
    assert latest_checkpoint(tmp_path) is None


@pytest.mark.parametrize('how', ['empty', 'flipped'])
def test_damaged_ones_are_passed_over_unless_all_are(tmp_path, how):
    weights = dict(weight=torch.randn(100, 100))
    paths = [
        save(tmp_path / f'epoch_{epoch}.pth', state_dict=weights)
        for epoch in (1, 2, 3)
    ]

    def spoil(path):
        damage(path) if how == 'flipped' else path.write_bytes(b'')

    spoil(paths[2])
    assert latest_checkpoint(tmp_path) == paths[1]
    with pytest.raises(UserError, match='epoch_3.pth'):
        latest_checkpoint(tmp_path, strict=True)
    for path in paths[:2]:
        spoil(path)
    with pytest.raises(UserError) as error:
        latest_checkpoint(tmp_path)
    for path in paths:
        assert str(path) in str(error.value)


def test_a_whole_one_that_cannot_be_loaded_is_never_passed_over(tmp_path):
    save(tmp_path / 'epoch_1.pth')
    save(tmp_path / 'epoch_2.pth', started_at=datetime(2025, 1, 1))
    with pytest.raises(UserError, match='epoch_2.pth.*datetime'):
        latest_checkpoint(tmp_path)
    torch.save([1], tmp_path / 'epoch_2.pth')
    with pytest.raises(UserError, match='epoch_2.pth: .*list'):
        latest_checkpoint(tmp_path)


def test_nor_what_the_system_does_not_read(tmp_path, monkeypatch):
    (tmp_path / 'file').write_text('')
    for ask in (latest_checkpoint, left_by_run):
        with pytest.raises(UserError, match='file: '):
            ask(tmp_path / 'file')
    for epoch in (1, 2):
        save(tmp_path / f'epoch_{epoch}.pth')
    load = torch.load

    def fail(path, *args, **kwargs):
        if path.name == 'epoch_2.pth':
            raise OSError(5, 'Input/output error')
        return load(path, *args, **kwargs)

    monkeypatch.setattr(torch, 'load', fail)
    with pytest.raises(UserError, match='epoch_2.pth: .*Input/output error'):
        latest_checkpoint(tmp_path)


@pytest.mark.parametrize(
    'change', [dict(seed=1), dict(settings={'lr': 0.2}), dict(epoch_iters=9)]
)
def test_checkpoints_of_two_runs_are_refused(tmp_path, change):
    run = dict(seed=0, epoch_iters=10, settings={'lr': 0.1}, max_epochs=3)
    save(tmp_path / 'epoch_1.pth', run=run)
    # Continued to another length it is the same.
    newest = save(tmp_path / 'epoch_3.pth', run=dict(run, max_epochs=5))
    assert latest_checkpoint(tmp_path) == newest
    save(tmp_path / 'epoch_2.pth', run={**run, **change})
    with pytest.raises(UserError) as error:
        latest_checkpoint(tmp_path)
    for word in ('epoch_2.pth', 'epoch_3.pth', 'different runs'):
        assert word in str(error.value)


LEFT = (
    'best_accuracy_top1_epoch_2.pth',
    'best_top1_iter_40-0a1b2c3d.pth',
    'epoch_2-0a1b2c3d.pth',
    'epoch_2.pth',
    'iter_40.pth',
    'last_checkpoint',
    'results.json',
    'student.pth',
)
OTHER = ('best_teacher.pth', 'config.py', 'train.log', 'epoch_2.txt')


def test_what_an_older_run_left(tmp_path):
    assert left_by_run(tmp_path / 'missing') == left_by_run(tmp_path) == []
    for name in (*LEFT, *OTHER):
        (tmp_path / name).write_text('')
    (tmp_path / 'teacher_cache').mkdir()
    assert [path.name for path in left_by_run(tmp_path)] == list(LEFT)


@pytest.mark.parametrize('name', LEFT)
def test_a_used_folder_is_refused(tmp_path, name):
    work_dir, elsewhere = tmp_path / 'run', tmp_path / 'other.pth'
    work_dir.mkdir()
    (work_dir / 'config.py').write_text('')
    inside = str(work_dir / '..' / 'run' / name)
    for start in (None, str(elsewhere), inside):
        for resume in (False, True):
            check_work_dir(work_dir, start, resume, False)
    (work_dir / name).write_text('')
    # It goes on, or what is there goes.
    check_work_dir(work_dir, inside, True, False)
    check_work_dir(work_dir, None, True, False)
    for resume in (False, True):
        check_work_dir(work_dir, str(elsewhere), resume, True)
        with pytest.raises(UserError, match='--overwrite: would delete'):
            check_work_dir(work_dir, inside, resume, True)
        with pytest.raises(UserError) as error:
            check_work_dir(work_dir, str(elsewhere), resume, False)
        for word in (str(work_dir), name, '--resume', '--overwrite'):
            assert word in str(error.value)
    for start in (None, inside):
        with pytest.raises(UserError, match=name):
            check_work_dir(work_dir, start, False, False)


def test_a_checkpoint_tells_its_run():
    run = dict(config='a.py', seed=0, task=None)
    hub = dict(runtime_info={RUN_KEY: run, 'epoch': 3})
    assert run_of(dict(message_hub=hub)) == run
    for older in (dict(message_hub=dict(runtime_info={})), dict(weight=1)):
        assert run_of(older) == {}


def test_runs_differ_in_what_both_know():
    run = dict(config='a.py', seed=0, task=None, split_sha256='f00')
    assert differing(run, run) is None
    assert differing({}, run) is None and differing(run, {}) is None
    assert differing(dict(run, seed=None), dict(run, task='b')) is None
    for field, value in dict(config='b.py', seed=1, split_sha256='0').items():
        different = differing(run, {**run, field: value})
        assert different == f'expected {field}={value!r}, got {run[field]!r}'
    different = differing(run, dict(run, split_sha256='0', seed=1))
    assert 'seed=1' in different and "split_sha256='0'" in different


def test_runs_differ_in_their_settings_and_not_in_their_length():
    run = dict(config='a.py', max_epochs=3, settings={'a': 1, 'c.end': 3})
    # What is known of a renamed config is its content.
    same = dict(config='b.py', max_epochs=5, settings={'a': 1.0})
    assert differing(run, same) is None
    assert differing(run, same, length=True) == 'expected max_epochs=5, got 3'
    other = dict(run, settings={'a': 2, 'b': 'x', 'c.end': 4})
    assert differing(run, other) == (
        "expected a=2, got 1, expected c.end=4, got 3, expected b='x', got "
        'None'
    )
    many = dict(run, settings={str(number): 0 for number in range(7)})
    assert differing(run, many).endswith('and 5 more')


def test_a_run_may_be_resumed_without_evaluation():
    run = dict(settings={'a': 1, 'val_evaluator.0.type': 'Accuracy'})
    assert differing(run, dict(settings={'a': 1})) is None
    assert differing(dict(settings={'a': 1}), run) is None
    other = dict(settings={'a': 1, 'val_evaluator.0.type': 'F1'})
    assert 'val_evaluator.0.type' in differing(run, other)
