import pytest
from mmengine.registry import DefaultScope

from mmkd_custom.datasets.image_folder import ImageFolder
from mmkd_custom.errors import UserError
from mmkd_custom.registry import DATASETS

PIPELINE = [dict(type='LoadImageFromFile'), dict(type='PackInputs')]


@pytest.fixture
def folder(tmp_path, write_image, touch):
    root = tmp_path / 'made up'
    for name in ('b.png', 'a.JPG', 'x/y/c.webp', '.d.png', '.e/f.png'):
        write_image(root / name)
    touch(root, 'notes.txt')
    return root


def test_all_visible_images_sorted_by_path(folder, rows, monkeypatch):
    monkeypatch.setenv('HOME', str(folder.parent))
    dataset = ImageFolder('~/made up')
    assert rows(dataset) == [
        (name, None) for name in ('a.JPG', 'b.png', 'x/y/c.webp')
    ]
    assert dataset.CLASSES is None


def test_builds_by_name_and_names_an_unreadable_image(folder):
    config = dict(data_root=str(folder), pipeline=PIPELINE)
    with DefaultScope.overwrite_default_scope('mmkd_custom'):
        dataset = DATASETS.build(dict(type='ImageFolder', **config))
    assert dataset[1]['inputs'].shape == (3, 16, 20)
    assert not dataset[1]['data_samples'].keys()
    (folder / 'b.png').write_bytes(b'no image')
    with pytest.raises(UserError, match='b.png: '):
        dataset[1]


def test_missing_and_empty_folders_are_named(tmp_path):
    (tmp_path / 'empty' / 'below').mkdir(parents=True)
    for root in ('', None, str(tmp_path / 'nowhere'), str(tmp_path / 'empty')):
        with pytest.raises(UserError, match=f'data_root: .*{root or ""}'):
            ImageFolder(root)
