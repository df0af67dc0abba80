"""The runner of a shipped config, made small."""

import pytest
from mmengine.registry import DefaultScope

from mmkd_custom.engine.config import load_config, prepare
from mmkd_custom.engine.launch import build_runner
from tests.cli import REPOSITORY
from tests.helpers import make_domains


@pytest.fixture
def build(tmp_path, monkeypatch):
    """Builds the runner of the shipped domain-folder config, made small."""
    root = make_domains(tmp_path / 'data', per_class=3)
    for name, value in dict(
        DATA_ROOT=str(root), SOURCE='art', TARGET='photo', SEED='0'
    ).items():
        monkeypatch.setenv(name, value)

    def make(name='customkd_mbv3_domain_folder.py', **options):
        path = REPOSITORY / 'configs' / name
        teacher = {
            'model.teacher.model_name': 'test_efficientnet',
            'model.teacher.checkpoint': None,
        }
        config = load_config(
            path,
            {
                **({} if 'source_only' in name else teacher),
                'train_dataloader.batch_size': 4,
                'train_dataloader.num_workers': 0,
                'train_dataloader.sampler.labelled': 2,
                'train_dataloader.sampler.unlabelled': 2,
                'val_dataloader.num_workers': 0,
                'train_cfg.max_epochs': 2,
                **options,
            },
        )
        prepare(
            config,
            config_path=path,
            work_dir=str(tmp_path / 'work'),
            validate=False,
        )
        DefaultScope._instance_dict.clear()
        return build_runner(config)

    return make
