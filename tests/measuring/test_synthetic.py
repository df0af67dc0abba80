"""Generated images take the place of a config's, and of nothing else."""

import os

import pytest
from PIL import Image

from mmkd_custom.engine.config import load_config
from mmkd_custom.errors import UserError
from mmkd_custom.measuring.synthetic import load_synthetic
from tests.cli import REPOSITORY

CONFIGS = REPOSITORY / 'configs'
PATH = CONFIGS / 'customkd_mbv3_domain_folder_128.py'


@pytest.fixture(autouse=True)
def nowhere(monkeypatch, tmp_path):
    """The config's own data is not there; the environment is restored."""
    for name in ('DATA_ROOT', 'SOURCE', 'TARGET'):
        monkeypatch.setenv(name, str(tmp_path / 'nowhere'))


def test_it_needs_no_data_and_keeps_the_rest(tmp_path):
    options = {'train_dataloader.batch_size': 6}
    config = load_synthetic(PATH, options, 41, tmp_path / 'made')
    for name, domain, count in (
        ('labelled', 'source', 21),
        ('unlabelled', 'target', 20),
    ):
        paths = list((tmp_path / 'made' / domain).glob('*/*.jpg'))
        assert len(paths) == count
        assert len({path.parent for path in paths}) == 10
        stream = config.train_dataloader.dataset[name]
        assert (stream.data_root, stream.domain) == (
            str(tmp_path / 'made'),
            domain,
        )
    with Image.open(paths[0]) as image:
        assert image.size == (256, 256) and image.format == 'JPEG'
    # As large as photographs are.
    assert 5_000 < paths[0].stat().st_size < 60_000
    assert os.environ['SOURCE'] == 'source'
    assert config.to_dict() == load_config(PATH, options).to_dict()


@pytest.mark.parametrize(
    'path, count, named',
    [
        (PATH, 19, '--synthetic: .* 20, .* 19'),
        (CONFIGS / 'customkd_mbv3_elpv.py', 20, '--synthetic: .*DATA_ROOT'),
        ('none.py', 20, 'none.py'),
    ],
)
def test_what_cannot_be_replaced_is_refused(tmp_path, path, count, named):
    with pytest.raises(UserError, match=named):
        load_synthetic(path, None, count, tmp_path)
