"""Small runners of the shipped domain-folder config, in this process."""

from pathlib import Path

import pytest
from mmengine.hooks import Hook

from mmkd_custom.engine.config import load_config, prepare
from mmkd_custom.engine.launch import build_runner
from mmkd_custom.stages import DISTILLATION
from tests.cli import REPOSITORY
from tests.helpers import forget_instances, make_domains

#: A short run without a teacher, which takes half the time.
PLAIN = {
    'name': 'labelled_only/labelled_only_mbv3_domain_folder.py',
    'train_dataloader.batch_size': 2,
    'train_dataloader.sampler.epoch_length': 1,
}
#: Batches of 2 + 2 from 3 x 3 images a domain: five an epoch.
EPOCH_LENGTH = 5


class Average(Hook):
    """An exponential moving average of the student's own steps, by hand."""

    priority = 'LOWEST'
    momentum = 0.3

    def __init__(self):
        self.value, self.steps = {}, 0

    def after_train_iter(self, runner, *_, **__):
        if runner.model.stage != DISTILLATION:
            return
        self.steps += 1
        for name, parameter in runner.model.student.named_parameters():
            now = parameter.detach().double()
            value = self.value.setdefault(name, now.clone())
            value += self.momentum * (now - value)


@pytest.fixture
def small_config(tmp_path, monkeypatch):
    """Prepares a shipped domain-folder config, made small."""
    root = make_domains(tmp_path / 'data', per_class=3)
    for name, value in dict(
        DATA_ROOT=str(root), SOURCE='art', TARGET='photo'
    ).items():
        monkeypatch.setenv(name, value)

    def make(
        work_dir='work',
        *,
        name='customkd_mbv3_domain_folder.py',
        resume=None,
        validate=False,
        seed=0,
        epochs=2,
        edit=lambda config: None,
        overwrite=False,
        **options,
    ):
        monkeypatch.setenv('SEED', str(seed))
        path = REPOSITORY / 'configs' / name
        teacher = {
            'model.teacher.teacher.model_name': 'test_efficientnet',
            'model.teacher.teacher.checkpoint': None,
        }
        config = load_config(
            path,
            {
                **({} if 'labelled_only' in name else teacher),
                'train_dataloader.batch_size': 4,
                'train_dataloader.num_workers': 0,
                'train_dataloader.sampler.labelled': 2,
                'train_dataloader.sampler.unlabelled': 2,
                'val_dataloader.num_workers': 0,
                'test_dataloader.num_workers': 0,
                'train_cfg.max_epochs': epochs,
                'default_hooks.checkpoint.max_keep_ckpts': -1,
                **options,
            },
        )
        edit(config)
        prepare(
            config,
            config_path=path,
            work_dir=str(tmp_path / Path(work_dir)),
            resume=resume
            if resume in (None, 'auto')
            else str(tmp_path / resume),
            validate=validate,
            overwrite=overwrite,
        )
        # Runners made within one second share their name, and with it what
        # MMEngine keeps by name.
        forget_instances()
        return config

    return make


@pytest.fixture
def small_runner(small_config):
    """Builds a runner of a shipped domain-folder config, made small."""
    return lambda *args, **options: build_runner(
        small_config(*args, **options)
    )
