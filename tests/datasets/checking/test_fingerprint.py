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


def test_each_file_is_read_once(tmp_path, write_image, monkeypatch):
    paths = [tmp_path / f'{name}.png' for name in 'abc']
    for path in paths[:2]:
        write_image(path, size=(20, 16))
    Image.new('RGB', (8, 8)).save(paths[2], format='PCX')
    sha256 = hashlib.sha256(paths[0].read_bytes()).hexdigest()
    opened, read = [], Path.read_bytes
    monkeypatch.setattr(
        Path, 'read_bytes', lambda self: opened.append(self) or read(self)
    )
    names = list(map(str, paths))
    found = fingerprint_all([*names, names[0]], workers=1)
    assert opened == paths and list(found) == names
    assert found[names[0]] == (sha256, (20, 16), None)
    # What OpenCV cannot read.
    assert 'PCX' in found[names[2]].error


def test_files_that_cannot_be_read_are_no_duplicates(tmp_path, touch):
    touch(tmp_path, 'a.jpg', 'b.jpg')
    paths = [str(tmp_path / f'{name}.jpg') for name in 'abc']
    assert [fingerprint(path).size for path in paths] == [None] * 3
    assert '0x' not in fingerprint(paths[0]).error
    assert 'FileNotFoundError' in fingerprint(paths[2]).error
    assert same_images(fingerprint_all(paths, workers=1)) == []


def test_processes_give_the_same(tmp_path, write_image):
    paths = [str(tmp_path / f'{i}.png') for i in range(70)]
    for number, path in enumerate(paths):
        write_image(Path(path), seed=number % 69)
    found = fingerprint_all(paths, workers=2)
    alone = fingerprint_all(paths, workers=1)
    assert list(found.items()) == list(alone.items())
    ((_, same),) = same_images(found)
    assert same == [paths[0], paths[69]]
    with pytest.raises(UserError, match='--workers: .*0'):
        fingerprint_all([], workers=0)


def test_pixels():
    image = np.arange(24, dtype=np.uint8).reshape(2, 4, 3)
    found = fingerprint_pixels(image)
    assert found.size == (4, 2) and found.error is None
    assert found == fingerprint_pixels(image[:, ::-1][:, ::-1])
    assert found.sha256 != fingerprint_pixels(image.reshape(4, 2, 3)).sha256
    assert found.sha256 != fingerprint_pixels(image + 1).sha256
