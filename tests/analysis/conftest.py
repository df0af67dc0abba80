"""Two finished runs, tiny ones, that a report can be made of."""

import pytest

from mmkd_custom.engine.config import load_config, prepare
from mmkd_custom.engine.launch import train
from tests.cli import REPOSITORY
from tests.helpers import forget_instances, make_domains

SIZES = {
    'train_dataloader.batch_size': 6,
    'train_dataloader.num_workers': 0,
    'train_dataloader.sampler.labelled': 3,
    'train_dataloader.sampler.unlabelled': 3,
    'train_dataloader.sampler.epoch_length': 2,
    'val_dataloader.num_workers': 0,
    'test_dataloader.num_workers': 0,
    'default_hooks.logger.interval': 1,
    'train_cfg.max_epochs': 2,
}
TEACHER = {
    'model.teacher.teacher.model_name': 'test_efficientnet',
    'model.teacher.teacher.checkpoint': None,
}
#: Folder to config and what is made small of it.
RUNS = {
    'plain': (
        'labelled_only/labelled_only_mbv3_domain_folder.py',
        {'train_dataloader.batch_size': 3},
    ),
    'distilled': ('customkd_mbv3_domain_folder.py', TEACHER),
}


@pytest.fixture(scope='package')
def finished(tmp_path_factory):
    """The folder of two runs, ``plain`` and ``distilled``, and their data."""
    folder = tmp_path_factory.mktemp('finished')
    root = make_domains(folder / 'data', per_class=4)
    with pytest.MonkeyPatch.context() as patch:
        for name, value in dict(
            DATA_ROOT=str(root), SOURCE='art', TARGET='photo', SEED='0'
        ).items():
            patch.setenv(name, value)
        for name, (path, options) in RUNS.items():
            path = REPOSITORY / 'configs' / path
            config = load_config(path, {**SIZES, **options})
            config.custom_hooks.append(
                dict(type='FeatureSimilarityHook', samples=8)
            )
            prepare(config, config_path=path, work_dir=str(folder / name))
            forget_instances()
            train(config)
    forget_instances()
    return folder
