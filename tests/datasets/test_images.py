import numpy as np
import pytest

from mmkd_custom.datasets.images import (
    decode,
    is_image_name,
    load_sample,
    visible_files,
    visible_folders,
)
from mmkd_custom.errors import UserError


def test_image_names():
    for name in ('a.jpg', 'a.JPEG', 'a.Png', 'a.webp', 'a.tiff', 'a.b.bmp'):
        assert is_image_name(name)
    assert not is_image_name('a.txt') and not is_image_name('jpg')


@pytest.mark.parametrize('suffix', ['jpg', 'png', 'bmp', 'webp', 'tif'])
def test_sound_and_truncated_images(tmp_path, write_image, suffix):
    path = tmp_path / f'a.{suffix}'
    write_image(path, size=(64, 48))
    assert decode(path.read_bytes()) == ((64, 48), None)
    size, reason = decode(path.read_bytes()[:-1000])
    assert size is None and reason


def failing(data_info):
    raise ZeroDivisionError('a defect of the pipeline')


def test_pipeline_error_on_a_broken_image_names_the_file(tmp_path):
    path = tmp_path / 'a.jpg'
    for content in (None, b'', b'no image'):
        if content is not None:
            path.write_bytes(content)
        for pipeline in (failing, lambda info: None):
            with pytest.raises(UserError, match='a.jpg: '):
                load_sample(pipeline, dict(img_path=str(path)))


def test_pipeline_error_on_a_sound_image_stays_itself(tmp_path, write_image):
    path = tmp_path / 'a.png'
    write_image(path)
    with pytest.raises(ZeroDivisionError):
        load_sample(failing, dict(img_path=str(path)))
    assert load_sample(lambda info: None, dict(img_path=str(path))) is None
    with pytest.raises(ZeroDivisionError):
        load_sample(failing, dict(img=np.zeros((4, 4, 3), np.uint8)))


def test_what_systems_put_there_is_left_out(tmp_path, touch):
    touch(
        tmp_path,
        'a/x.png',
        'b/d/w.png',
        'a/Thumbs.db',
        'a/@eaDir/x.png/SYNOFILE_THUMB_M.jpg',
        '@eaDir/y.png',
        '__MACOSX/a/._x.png',
        'a/._x.png',
        '.ipynb_checkpoints/x.png',
        'a/.thumbnails/x.png',
        'lost+found/z.png',
        '.DS_Store',
    )
    assert visible_folders(tmp_path) == ['a', 'b']
    files = sorted(visible_files(tmp_path))
    assert files == ['a/Thumbs.db', 'a/x.png', 'b/d/w.png']


def test_links_are_followed_but_not_back(tmp_path, touch):
    root, outside = tmp_path / 'root', tmp_path / 'outside'
    touch(tmp_path, 'root/a/x.png', 'outside/sub/y.png')
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
