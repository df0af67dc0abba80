"""Generated images take the place of a config's, and of nothing else."""

import pytest
from PIL import Image

from mmkd_custom.engine.config import load_config
from mmkd_custom.errors import UserError
from mmkd_custom.measuring.synthetic import load_synthetic
from tests.cli import REPOSITORY
from tests.helpers import make_domains

CONFIGS = REPOSITORY / 'configs'
PATH = CONFIGS / 'customkd_mbv3_domain_folder_128.py'


@pytest.fixture(autouse=True)
def nowhere(monkeypatch, tmp_path):
    """The config's own data is not there."""
    monkeypatch.setenv('DATA_ROOT', str(tmp_path / 'nowhere'))


def test_it_needs_no_data_and_keeps_the_rest(tmp_path, monkeypatch):
    options = {'train_dataloader.batch_size': 6}
    config = load_synthetic(PATH, options, 41, tmp_path / 'made')
    assert options == {'train_dataloader.batch_size': 6}
    # 10 classes; one image more in the first stream.
    for name, count in (('labelled', 21), ('unlabelled', 20)):
        paths = list((tmp_path / 'made' / name).glob('*/*.jpg'))
        assert len(paths) == count
        assert len({path.parent for path in paths}) == 10
        stream = config.train_dataloader.dataset.pop(name)
        assert stream.data_root == str(tmp_path / 'made')
        assert stream.domain == name
        assert stream.pop('pipeline')[1].scale == 128
        assert set(stream) == {'type', 'data_root', 'domain'}
    with Image.open(paths[0]) as image:
        assert image.size == (256, 256) and image.format == 'JPEG'
    # As large as photographs are.
    assert 5_000 < paths[0].stat().st_size < 60_000
    assert config.data_preprocessor.num_classes == 10

    root = make_domains(tmp_path / 'data', per_class=1)
    for name, value in dict(
        DATA_ROOT=str(root), SOURCE='art', TARGET='photo'
    ).items():
        monkeypatch.setenv(name, value)
    own = load_config(PATH, options)
    for name in ('labelled', 'unlabelled'):
        own.train_dataloader.dataset.pop(name)
    assert config.train_dataloader == own.train_dataloader
    assert config.optim_wrapper == own.optim_wrapper


def test_classes_are_no_more_than_the_model_has(tmp_path):
    load_synthetic(CONFIGS / 'customkd_mbv3_elpv.py', None, 8, tmp_path)
    classes = {p.name for p in tmp_path.glob('*/*') if p.is_dir()}
    assert classes == {'class_0', 'class_1'}


@pytest.mark.parametrize('count', [-1, 19])
def test_too_few_images_are_refused(tmp_path, count):
    with pytest.raises(UserError, match=f'--synthetic: .* 20, .* {count}'):
        load_synthetic(PATH, None, count, tmp_path)
    assert not list(tmp_path.glob('*'))


@pytest.mark.parametrize(
    'text, named',
    [
        ("train_dataloader = dict(dataset=dict(type='A'))", '--synthetic'),
        ('train_dataloader = ', 'plain.py'),
        (None, 'plain.py'),
    ],
)
def test_config_without_streams_is_refused(tmp_path, text, named):
    path = tmp_path / 'plain.py'
    if text is not None:
        path.write_text(text)
    with pytest.raises(UserError, match=named):
        load_synthetic(path, None, 100, tmp_path)
