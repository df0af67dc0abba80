"""Fingerprints of image files."""

import hashlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mmkd_custom.datasets.checking.fingerprint import (
    fingerprint,
    fingerprint_all,
    fingerprint_pixels,
    same_images,
)
from mmkd_custom.errors import UserError


def test_a_sound_file(tmp_path, write_image):
    path = tmp_path / 'a.png'
    write_image(path, size=(20, 16))
    found = fingerprint(str(path))
    assert found == (
        hashlib.sha256(path.read_bytes()).hexdigest(),
        (20, 16),
        None,
    )


def test_each_file_is_read_once(tmp_path, write_image, monkeypatch):
    paths = [tmp_path / 'a.png', tmp_path / 'b.png']
    for path in paths:
        write_image(path)
    Image.new('RGB', (8, 8)).save(tmp_path / 'c.png', format='PCX')
    paths.append(tmp_path / 'c.png')
    opened, read = [], Path.read_bytes
    monkeypatch.setattr(
        Path, 'read_bytes', lambda self: opened.append(self) or read(self)
    )
    monkeypatch.setattr('builtins.open', None)
    names = list(map(str, paths))
    found = fingerprint_all([*names, names[0]], workers=1)
    monkeypatch.undo()
    assert opened == paths
    assert list(found) == names
    assert found[names[2]].error == 'OpenCV cannot decode the format PCX'


def test_files_that_cannot_be_read(tmp_path, write_image):
    path = tmp_path / 'a.jpg'
    write_image(path, size=(64, 64))
    path.write_bytes(path.read_bytes()[:-500])
    assert 'truncated' in fingerprint(str(path)).error
    path.write_bytes(b'')
    assert fingerprint(str(path)).error == (
        'UnidentifiedImageError: cannot identify image file'
    )
    assert 'FileNotFoundError' in fingerprint(str(tmp_path / 'none')).error


def test_the_same_with_processes(tmp_path, write_image):
    paths = [str(tmp_path / f'{i}.png') for i in range(70)]
    for number, path in enumerate(paths):
        write_image(Path(path), seed=number % 69)
    found = fingerprint_all(paths, workers=2)
    assert list(found.items()) == list(
        fingerprint_all(paths, workers=1).items()
    )
    ((_, same),) = same_images(found)
    assert same == [paths[0], paths[69]]


def test_broken_files_are_no_duplicates(tmp_path):
    paths = [tmp_path / 'a.jpg', tmp_path / 'b.jpg']
    for path in paths:
        path.write_bytes(b'')
    assert same_images(fingerprint_all(list(map(str, paths)), 1)) == []


def test_pixels():
    image = np.arange(24, dtype=np.uint8).reshape(2, 4, 3)
    found = fingerprint_pixels(image)
    assert found.size == (4, 2) and found.error is None
    assert found == fingerprint_pixels(image[:, ::-1][:, ::-1])
    assert found.sha256 != fingerprint_pixels(image.reshape(4, 2, 3)).sha256
    assert found.sha256 != fingerprint_pixels(image + 1).sha256


def test_workers():
    with pytest.raises(UserError, match='--workers 0'):
        fingerprint_all([], workers=0)
