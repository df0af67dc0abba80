"""Folders in which a store can and cannot be made."""

import os
import shutil
import tempfile

import pytest

from mmkd_custom.cache.files import MANIFEST_FILE
from mmkd_custom.errors import UserError
from tests.cache.test_store import every, make, values


def test_a_path_through_links_and_from_home(tmp_path, monkeypatch):
    monkeypatch.setenv('HOME', str(tmp_path))
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'disk').mkdir()
    # To an empty folder, and to none.
    for number, target in enumerate(('disk', 'later')):
        (tmp_path / f'link{number}').symlink_to(tmp_path / target)
        assert make(f'link{number}').created
        assert (tmp_path / target / MANIFEST_FILE).is_file()
        assert (tmp_path / f'link{number}').is_symlink()
        assert not make(f'~/link{number}').created


def test_folders_that_are_no_store(tmp_path, folder, monkeypatch):
    make(folder)
    path = folder / 'feature.f32'
    os.truncate(path, 17)
    with pytest.raises(UserError, match='feature.f32.*320.*17'):
        make(folder)
    path.unlink()
    with pytest.raises(UserError, match='feature.f32'):
        make(folder)
    # What a link leads to is not written over.
    other = tmp_path / 'other'
    other.write_bytes(bytes(320))
    path.symlink_to(other)
    with pytest.raises(UserError, match='feature.f32.*link'):
        make(folder)
    assert not any(other.read_bytes())
    (folder / MANIFEST_FILE).write_text('{"half')
    with pytest.raises(UserError, match='manifest'):
        make(folder)
    (tmp_path / 'mine').mkdir()
    (tmp_path / 'mine' / 'thesis.txt').touch()
    with pytest.raises(UserError, match='mine.*manifest'):
        make(tmp_path / 'mine')
    assert [p.name for p in (tmp_path / 'mine').iterdir()] == ['thesis.txt']
    for path in (other, other / 'cache'):
        with pytest.raises(UserError, match=f'{path}'):
            make(path)

    def denied(**_):
        raise PermissionError(13, 'Permission denied')

    monkeypatch.setattr(tempfile, 'mkdtemp', denied)
    with pytest.raises(UserError, match='new.*Permission denied'):
        make(tmp_path / 'new')


def test_a_disk_that_is_too_small(folder, monkeypatch):
    def full(*_):
        raise OSError(28, 'No space left on device')

    def killed(*_):
        raise KeyboardInterrupt

    usage = shutil.disk_usage(folder.parent)._replace(free=100)
    with monkeypatch.context() as patched:
        patched.setattr(shutil, 'disk_usage', lambda path: usage)
        with pytest.raises(UserError, match='num_views'):
            make(folder)
    with monkeypatch.context() as patched:
        patched.setattr(os, 'posix_fallocate', full)
        with pytest.raises(UserError, match='No space left'):
            make(folder)
    # Nothing is left behind, but by who was killed.
    assert not list(folder.parent.iterdir())
    with monkeypatch.context() as patched:
        patched.setattr(os, 'rename', killed)
        patched.setattr(shutil, 'rmtree', lambda *_, **__: None)
        with pytest.raises(KeyboardInterrupt):
            make(folder)
    (left,) = folder.parent.iterdir()
    monkeypatch.setattr(shutil, 'disk_usage', lambda path: usage)
    with pytest.raises(UserError, match=left.name):
        make(folder)


def test_a_folder_that_cannot_be_written(folder, read_only):
    store = make(folder)
    store.write(*every(), values(*every()))
    store.flush()
    with read_only():
        store = make(folder)
        assert store.read(*every())[1].all() and not store.writable
        store.flush()
        with pytest.raises(UserError, match='cache_dir'):
            store.write(*every(), values(*every()))
