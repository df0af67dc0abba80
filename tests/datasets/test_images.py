import numpy as np
import pytest
from PIL import Image

from mmkd_custom.datasets.images import (
    decode_error,
    is_image_name,
    load_sample,
    visible_files,
    visible_folders,
)
from mmkd_custom.errors import UserError


@pytest.mark.parametrize(
    'name, expected',
    [
        ('a.jpg', True),
        ('a.JPEG', True),
        ('a.Png', True),
        ('a.webp', True),
        ('a.tiff', True),
        ('a.b.bmp', True),
        ('a.txt', False),
        ('jpg', False),
    ],
)
def test_image_names(name, expected):
    assert is_image_name(name) is expected


def test_hidden_entries_are_left_out(tmp_path):
    for path in ('b/x.png', 'a/.y.png', '.c/z.png', 'a/d/w.png', '.DS_Store'):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).touch()
    assert visible_folders(tmp_path) == ['a', 'b']
    assert sorted(visible_files(tmp_path)) == ['a/d/w.png', 'b/x.png']


@pytest.mark.parametrize('suffix', ['jpg', 'png', 'bmp', 'webp', 'tif'])
def test_sound_and_truncated_images(tmp_path, write_image, suffix):
    path = tmp_path / f'a.{suffix}'
    write_image(path, size=(64, 48))
    assert decode_error(str(path)) is None
    path.write_bytes(path.read_bytes()[:-1000])
    assert decode_error(str(path))


def test_empty_and_missing_files(tmp_path):
    (tmp_path / 'a.jpg').touch()
    assert 'cannot identify' in decode_error(str(tmp_path / 'a.jpg'))
    assert 'FileNotFound' in decode_error(str(tmp_path / 'b.jpg'))


def failing(data_info):
    raise ZeroDivisionError('a defect of the pipeline')


def test_pipeline_error_on_a_broken_image_names_the_file(tmp_path):
    path = tmp_path / 'a.jpg'
    path.write_bytes(b'no image')
    for pipeline in (failing, lambda info: None):
        with pytest.raises(UserError, match='a.jpg: this image cannot'):
            load_sample(pipeline, dict(img_path=str(path)))


def test_pipeline_error_on_a_sound_image_stays_itself(tmp_path):
    path = tmp_path / 'a.png'
    Image.fromarray(np.zeros((4, 4), np.uint8)).save(path)
    with pytest.raises(ZeroDivisionError, match='a defect'):
        load_sample(failing, dict(img_path=str(path)))
    assert load_sample(lambda info: None, dict(img_path=str(path))) is None
    with pytest.raises(ZeroDivisionError):
        load_sample(failing, dict(img=np.zeros((4, 4, 3), np.uint8)))


def test_what_systems_put_there_is_left_out(tmp_path):
    for path in (
        'a/x.png',
        'a/@eaDir/x.png/SYNOFILE_THUMB_M.jpg',
        '@eaDir/y.png',
        '__MACOSX/a/._x.png',
        'a/._x.png',
        '.ipynb_checkpoints/x.png',
        'a/.thumbnails/x.png',
        'lost+found/z.png',
    ):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).touch()
    (tmp_path / 'a' / 'Thumbs.db').touch()
    assert visible_folders(tmp_path) == ['a']
    files = sorted(visible_files(tmp_path))
    assert files == ['a/Thumbs.db', 'a/x.png']
    assert list(filter(is_image_name, files)) == ['a/x.png']


def test_links_are_followed_but_not_back(tmp_path):
    root, outside = tmp_path / 'root', tmp_path / 'outside'
    for path in (root / 'a' / 'x.png', outside / 'sub' / 'y.png'):
        path.parent.mkdir(parents=True)
        path.touch()
    for place, target in {
        'loop': root,
        'above': tmp_path,
        'a/up': root / 'a',
        'b': root / 'a',
        'c': outside,
        'c2': outside,
    }.items():
        (root / place).symlink_to(target)
    (outside / 'sub' / 'back').symlink_to(outside)
    assert visible_folders(root) == ['a', 'b', 'c', 'c2']
    assert sorted(visible_files(root)) == ['a/x.png', 'c/sub/y.png']
    seen = {}
    assert list(visible_files(root / 'a', seen)) == ['x.png']
    assert list(visible_files(root / 'b', seen)) == []
