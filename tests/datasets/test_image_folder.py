import pytest
from mmengine.registry import DefaultScope

from mmkd_custom.datasets.image_folder import ImageFolder
from mmkd_custom.errors import UserError
from mmkd_custom.registry import DATASETS

PIPELINE = [dict(type='LoadImageFromFile'), dict(type='PackInputs')]


@pytest.fixture
def folder(tmp_path, write_image):
    root = tmp_path / 'made up'
    for name in ('b.png', 'a.JPG', 'x/y/c.webp', '.d.png', '.e/f.png'):
        write_image(root / name)
    (root / 'notes.txt').write_text('x')
    return root


def test_all_visible_images_sorted_by_path(folder):
    dataset = ImageFolder(str(folder))
    found = [dataset.get_data_info(i) for i in range(len(dataset))]
    assert [info['img_path'] for info in found] == [
        str(folder / name) for name in ('a.JPG', 'b.png', 'x/y/c.webp')
    ]
    assert all('gt_label' not in info for info in found)
    assert dataset.CLASSES is None


def test_builds_by_name_and_runs_its_pipeline(folder):
    config = dict(data_root=str(folder), pipeline=PIPELINE)
    with DefaultScope.overwrite_default_scope('mmkd_custom'):
        bare = DATASETS.build(dict(type='ImageFolder', **config))
    scoped = DATASETS.build(dict(type='mmkd_custom.ImageFolder', **config))
    for dataset in (bare, scoped):
        item = dataset[1]
        assert item['inputs'].shape == (3, 16, 20)
        assert not item['data_samples'].keys()


def test_home_is_expanded(folder, monkeypatch):
    monkeypatch.setenv('HOME', str(folder.parent))
    assert len(ImageFolder('~/made up')) == 3


def test_missing_and_empty_folders_are_refused(tmp_path, folder):
    for root in ('', None, str(tmp_path / 'nowhere')):
        with pytest.raises(UserError, match='ImageFolder: data_root=.*no exi'):
            ImageFolder(root)
    (tmp_path / 'empty' / 'below').mkdir(parents=True)
    with pytest.raises(UserError, match='empty holds no image'):
        ImageFolder(str(tmp_path / 'empty'))


def test_unreadable_image_is_named(folder):
    (folder / 'b.png').write_bytes(b'no image')
    dataset = ImageFolder(str(folder), pipeline=PIPELINE)
    dataset[0]
    with pytest.raises(UserError, match='b.png: this image cannot be'):
        dataset[1]
