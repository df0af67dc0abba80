"""Files, folders and patterns become one list of images."""

import os

import pytest

from mmkd_custom.errors import UserError
from mmkd_custom.prediction.files import find_images


@pytest.fixture
def folder(tmp_path, monkeypatch):
    for name in (
        *('a/2.jpg', 'a/1.PNG', 'a/deep/1.png', 'a/notes.txt'),
        *('a/.hidden.png', 'b/1.png', 'b/odd.bin'),
    ):
        path = tmp_path / 'in' / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    monkeypatch.chdir(tmp_path / 'in')


def found(*words):
    return [image.path for image in find_images(words)]


def test_what_is_named(folder):
    assert found('a') == ['a/1.PNG', 'a/2.jpg', 'a/deep/1.png']
    # A file that is named is meant, whatever it is called; none comes twice.
    assert found('b/odd.bin', 'b', 'b/1.png') == ['b/odd.bin', 'b/1.png']
    assert found('*/1.*') == ['a/1.PNG', 'b/1.png']
    assert found('**/*.png') == ['a/deep/1.png', 'b/1.png']
    # A folder that matches stands for its images.
    assert found('[b]') == ['b/1.png']


def test_places_tell_files_of_one_name_apart(folder):
    def places(*words):
        return [image.place for image in find_images(words)]

    assert places('a/deep', 'b') == ['a/deep/1.png', 'b/1.png']
    assert places('a') == ['1.PNG', '2.jpg', 'deep/1.png']
    assert places('b/1.png') == ['1.png']
    assert places(os.path.abspath('b'), 'b') == ['1.png']


@pytest.mark.parametrize('word', ['none', 'none/*.png', 'a/*.txt', 'empty'])
def test_no_image_is_refused(folder, word):
    os.mkdir('empty')
    with pytest.raises(UserError, match=word.replace('*', r'\*')):
        found('a', word)
