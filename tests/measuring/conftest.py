"""A small config to measure."""

import pytest

from mmkd_custom.engine.config import load_config, prepare
from tests.cli import REPOSITORY
from tests.helpers import make_domains

PATH = REPOSITORY / 'configs' / 'customkd_mbv3_domain_folder_128.py'


@pytest.fixture
def config(tmp_path, monkeypatch):
    """CustomKD with a tiny teacher, batches of 2 + 3 out of 18 + 18 images."""
    root = make_domains(tmp_path / 'data')
    for name, value in dict(
        DATA_ROOT=str(root), SOURCE='art', TARGET='photo', SEED='3'
    ).items():
        monkeypatch.setenv(name, value)
    options = {
        'model.teacher.teacher.model_name': 'test_efficientnet',
        'model.teacher.teacher.checkpoint': None,
        'train_dataloader.batch_size': 5,
        'train_dataloader.sampler.labelled': 2,
        'train_dataloader.sampler.unlabelled': 3,
    }
    return prepare(load_config(PATH, options), config_path=PATH)
