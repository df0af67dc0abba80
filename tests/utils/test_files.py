"""Files are whole or not there, and damaged checkpoints are named."""

import os
import pickle
import resource
import stat

import pytest
import torch
import torch.nn as nn

from mmkd_custom.errors import UserError
from mmkd_custom.utils.files import load_checkpoint, mismatches, write_atomic


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
    with pytest.raises(OSError):
        write_atomic(tmp_path / 'missing' / 'file.bin', b'content')
    assert os.listdir(tmp_path) == ['file.bin']


@pytest.mark.parametrize('mask', [0o022, 0o077])
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
        with pytest.raises(UserError, match='checkpoint') as error:
            load_checkpoint(path)
        assert str(path) in str(error.value)


@pytest.mark.parametrize('keep', [0, 100, -1])
def test_a_truncated_checkpoint_is_named(tmp_path, keep):
    path = tmp_path / 'epoch_1.pth'
    torch.save(dict(weight=torch.randn(50, 50)), path)
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(UserError, match='checkpoint') as error:
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
def test_checkpoint_that_is_no_dict_is_named(tmp_path, content, name):
    torch.save(content, tmp_path / 'other.pth')
    with pytest.raises(UserError, match=f'other.pth: .*dict.*{name}'):
        load_checkpoint(tmp_path / 'other.pth')


def test_mismatches_name_keys_and_shapes():
    model = nn.Linear(4, 2)
    assert mismatches(model, nn.Linear(4, 2).state_dict()) == []
    state = dict(weight=torch.zeros(2, 5), extra=torch.zeros(1))
    problems = mismatches(model, state)
    for problem, words in zip(problems, ('bias', 'extra', '(2, 5)')):
        assert words in problem
    assert len(problems) == 3
    model = nn.Sequential(*(nn.Linear(2, 2, bias=False) for _ in range(5)))
    (missing,) = mismatches(model, {})
    assert missing.endswith('and 2 more')
    wrong = {f'{i}.weight': torch.zeros(1) for i in range(5)}
    assert len(mismatches(model, wrong)) == 3
