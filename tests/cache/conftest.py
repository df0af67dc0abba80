"""A place for a store, and a disk to which nothing can be written."""

import numpy as np
import pytest


@pytest.fixture
def folder(tmp_path):
    return tmp_path / 'cache'


@pytest.fixture
def read_only(monkeypatch):
    """Returns a scope in which no file can be mapped for writing."""
    real = np.memmap.__new__

    def mapped(cls, path, kind, mode, **options):
        # As root, permissions forbid nothing.
        if mode != 'r':
            raise PermissionError(13, 'Permission denied', str(path))
        return real(cls, path, kind, mode, **options)

    class Scope:
        def __enter__(self):
            monkeypatch.setattr(np.memmap, '__new__', mapped)

        def __exit__(self, *_):
            monkeypatch.setattr(np.memmap, '__new__', real)

    return Scope
