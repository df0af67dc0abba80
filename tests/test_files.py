"""Files are whole or not there, and damaged checkpoints are named."""

import os
import pickle
import resource
import stat

import pytest
import torch
import torch.nn as nn

from mmkd_custom.errors import UserError
from mmkd_custom.files import (
    RUN_KEY,
    bring_back,
    differing,
    drop_aside,
    is_aside,
    latest_checkpoint,
    load_checkpoint,
    mismatches,
    run_of,
    set_aside,
    write_atomic,
)


@pytest.fixture
def limited():
    """Lets no file grow beyond 1000 bytes, as a full disk would."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_content_is_written_and_replaced(tmp_path):
    path = tmp_path / 'file.bin'
    for content in (b'first', b'', bytes(range(256)) * 100):
        write_atomic(path, content)
        assert path.read_bytes() == content
    write_atomic(str(path), b'as a string')
    assert path.read_bytes() == b'as a string'
    assert os.listdir(tmp_path) == ['file.bin']


def test_a_write_that_fails_keeps_the_old_file(tmp_path, limited):
    path = tmp_path / 'file.bin'
    write_atomic(path, b'old')
    with pytest.raises(OSError):
        write_atomic(path, bytes(100_000))
    assert path.read_bytes() == b'old'
    with pytest.raises(OSError):
        write_atomic(tmp_path / 'new.bin', bytes(100_000))
    assert os.listdir(tmp_path) == ['file.bin']


def test_a_rename_that_fails_leaves_nothing(tmp_path):
    (tmp_path / 'folder').mkdir()
    with pytest.raises(OSError):
        write_atomic(tmp_path / 'folder', b'content')
    with pytest.raises(OSError):
        write_atomic(tmp_path / 'missing' / 'file.bin', b'content')
    assert os.listdir(tmp_path) == ['folder']


@pytest.mark.parametrize('mask', [0o022, 0o077, 0o002])
def test_permissions_are_those_of_any_new_file(tmp_path, mask):
    before = os.umask(mask)
    try:
        write_atomic(tmp_path / 'ours', b'content')
        (tmp_path / 'theirs').write_bytes(b'content')
        assert os.umask(mask) == mask
    finally:
        os.umask(before)
    modes = [
        stat.S_IMODE((tmp_path / name).stat().st_mode)
        for name in ('ours', 'theirs')
    ]
    assert modes == [0o666 & ~mask] * 2


def test_a_whole_checkpoint_is_read(tmp_path):
    path = tmp_path / 'epoch_1.pth'
    weight = torch.randn(3, 2)
    torch.save(dict(state_dict=dict(weight=weight), meta=dict(epoch=1)), path)
    content = load_checkpoint(path)
    assert content['meta'] == dict(epoch=1)
    assert torch.equal(content['state_dict']['weight'], weight)
    assert load_checkpoint(str(path)).keys() == content.keys()


def test_a_missing_checkpoint_is_named(tmp_path):
    for path in (tmp_path / 'nothing.pth', tmp_path):
        with pytest.raises(UserError, match='no such file') as error:
            load_checkpoint(path)
        assert str(path) in str(error.value)


@pytest.mark.parametrize('keep', [0, 1, 100, -1])
def test_a_truncated_checkpoint_is_named(tmp_path, keep):
    path = tmp_path / 'epoch_1.pth'
    torch.save(dict(weight=torch.randn(50, 50)), path)
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(UserError, match='not a complete checkpoint') as error:
        load_checkpoint(path)
    assert str(path) in str(error.value)
    assert '\n' not in str(error.value)


class _Foreign:
    """An object that acts when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize('write', [torch.save, 'pickle'])
def test_a_foreign_pickle_is_refused_and_not_run(tmp_path, write):
    path = tmp_path / 'evil.pth'
    content = dict(state_dict=_Foreign(tmp_path / 'ran'))
    if write == 'pickle':
        path.write_bytes(pickle.dumps(content))
    else:
        write(content, path)
    with pytest.raises(UserError, match='evil.pth'):
        load_checkpoint(path)
    assert os.listdir(tmp_path) == ['evil.pth']


@pytest.mark.parametrize(
    'content, name', [([1, 2], 'list'), (torch.zeros(2), 'Tensor')]
)
def test_a_checkpoint_is_a_dict(tmp_path, content, name):
    path = tmp_path / 'other.pth'
    torch.save(content, path)
    with pytest.raises(UserError, match=f'holds a {name}'):
        load_checkpoint(path)


def save(path, seconds, content=None):
    """Writes a checkpoint that is as old as a time says."""
    torch.save(dict(meta=path.name) if content is None else content, path)
    os.utime(path, (seconds, seconds))
    return path


def test_the_newest_by_time_wins(tmp_path):
    save(tmp_path / 'epoch_40.pth', 1000)
    newest = save(tmp_path / 'epoch_2.pth', 2000)
    assert latest_checkpoint(tmp_path) == newest
    assert latest_checkpoint(str(tmp_path)) == newest
    newest = save(tmp_path / 'iter_7.pth', 3000)
    assert latest_checkpoint(tmp_path) == newest


def test_the_higher_number_wins_at_equal_times(tmp_path):
    for epoch in (9, 10, 8):
        save(tmp_path / f'epoch_{epoch}.pth', 1000)
    assert latest_checkpoint(tmp_path).name == 'epoch_10.pth'


def test_damaged_ones_are_passed_over(tmp_path):
    whole = save(tmp_path / 'epoch_1.pth', 1000)
    save(tmp_path / 'epoch_2.pth', 2000, content=[1])
    for seconds, keep in ((3000, 100), (4000, 0)):
        torn = tmp_path / f'epoch_{seconds}.pth'
        torn.write_bytes(whole.read_bytes()[:keep])
        os.utime(torn, (seconds, seconds))
    assert latest_checkpoint(tmp_path) == whole
    whole.unlink()
    assert latest_checkpoint(tmp_path) is None


def test_what_is_no_numbered_checkpoint_is_not_taken(tmp_path):
    assert latest_checkpoint(tmp_path) is None
    assert latest_checkpoint(tmp_path / 'missing') is None
    for name in ('student.pth', 'best_top1_epoch_3.pth', 'epoch_last.pth'):
        save(tmp_path / name, 1000)
    # MMEngine's pointer, as a kill can leave it.
    (tmp_path / 'last_checkpoint').write_text(str(tmp_path / 'epoch_9.pth'))
    assert latest_checkpoint(tmp_path) is None


OLD = (
    'epoch_2.pth',
    'iter_40.pth',
    'last_checkpoint',
    'results.json',
    'student.pth',
)
KEPT = ('best_top1_epoch_2.pth', 'config.py', 'train.log', 'epoch_2.txt')


@pytest.fixture
def used(tmp_path):
    """A work directory that an older run used."""
    for name in (*OLD, *KEPT):
        (tmp_path / name).write_text(f'old {name}')
    return tmp_path


def contents(folder):
    return {
        path.relative_to(folder).as_posix(): path.read_text()
        for path in folder.rglob('*')
        if path.is_file()
    }


def test_what_an_older_run_left_is_set_aside_and_brought_back(used):
    before = contents(used)
    set_aside(str(used))
    (folder,) = filter(is_aside, used.iterdir())
    assert sorted(os.listdir(folder)) == sorted(OLD)
    assert set(os.listdir(used)) == {*KEPT, folder.name}
    assert latest_checkpoint(used) is None
    # A run that was killed then leaves its own beside it.
    (used / 'epoch_2.pth').write_text('new')
    set_aside(used)
    first, second = sorted(
        filter(is_aside, used.iterdir()), key=lambda f: len(os.listdir(f))
    )
    assert contents(first) == {'epoch_2.pth': 'new'}
    bring_back(second)
    drop_aside(used)
    assert contents(used) == before


def test_what_was_set_aside_is_deleted(used):
    set_aside(used)
    drop_aside(used)
    assert set(os.listdir(used)) == set(KEPT)
    # Nothing there, nothing made.
    set_aside(used)
    assert set(os.listdir(used)) == set(KEPT)


def test_results_are_set_aside_before_any_checkpoint(used, monkeypatch):
    replace, moved = os.replace, []

    def killed(source, destination):
        if os.path.basename(source) in ('epoch_2.pth', 'iter_40.pth'):
            raise KeyboardInterrupt
        moved.append(os.path.basename(source))
        replace(source, destination)

    monkeypatch.setattr(os, 'replace', killed)
    with pytest.raises(KeyboardInterrupt):
        set_aside(used)
    assert sorted(moved) == ['last_checkpoint', 'results.json', 'student.pth']


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
        assert differing(run, {**run, field: value}) == field
    assert differing(run, dict(run, split_sha256='0', seed=1)) == 'seed'


def test_mismatches_of_an_exact_match_are_none():
    model = nn.BatchNorm1d(3)
    assert mismatches(model, nn.BatchNorm1d(3).state_dict()) == []


def test_mismatches_name_keys_and_shapes():
    model = nn.Linear(4, 2)
    state = dict(weight=torch.zeros(2, 5), extra=torch.zeros(1))
    assert mismatches(model, state) == [
        'missing bias',
        'unexpected extra',
        'weight has shape (2, 5), wanted (2, 4)',
    ]


def test_mismatches_name_three_and_count_the_rest():
    model = nn.Sequential(*(nn.Linear(2, 2, bias=False) for _ in range(5)))
    assert mismatches(model, {}) == [
        'missing 0.weight, 1.weight, 2.weight and 2 more'
    ]
    wrong = {f'{i}.weight': torch.zeros(1) for i in range(5)}
    problems = mismatches(model, wrong)
    assert len(problems) == 3
    assert problems[0] == '0.weight has shape (1,), wanted (2, 2)'
