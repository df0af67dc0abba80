"""Asking the teacher once gives what asking it every time gives."""

import pytest
import torch
from mmengine.registry import DefaultScope

from mmkd_custom.engine.config import load_config, prepare
from mmkd_custom.engine.launch import build_runner
from mmkd_custom.errors import UserError
from mmkd_custom.models.distillers import make_batch
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


def hook_of(runner):
    return next(
        h for h in runner.hooks if type(h).__name__ == 'TeacherMemoryHook'
    )


def test_memory_equals_the_live_teacher(build):
    runner = build()
    runner.train()
    model, memory = runner.model, runner.model.teacher_memory
    assert memory.feature.shape[:2] == (18, 4)
    for batch in runner.train_dataloader:
        data = model.data_preprocessor(batch, False)
        batch = make_batch(**data)
        live = model.ask_teacher(batch).feature
        kept, _ = model.run_teacher(batch)
        torch.testing.assert_close(kept.feature, live, rtol=1e-5, atol=1e-5)


def test_standardized_features_reach_the_losses(build):
    runner = build(**{'custom_hooks.5.standardize': True})
    runner.train()
    feature = runner.model.teacher_memory.feature.flatten(0, 1).double()
    torch.testing.assert_close(
        feature.mean(0), torch.zeros_like(feature[0]), rtol=0, atol=1e-5
    )
    batch = next(iter(runner.train_dataloader))
    batch = make_batch(**runner.model.data_preprocessor(batch, False))
    kept, _ = runner.model.run_teacher(batch)
    key = batch.data_samples[0].metainfo
    torch.testing.assert_close(
        kept.feature[0].double(),
        feature.view(18, 4, -1)[key['sample_idx'], key['view']],
        rtol=0,
        atol=1e-6,
    )


def test_the_teacher_is_not_asked_while_training(build):
    runner = build()
    asked = []
    runner.model.teacher.register_forward_pre_hook(
        lambda _, args: asked.append(len(args[0]))
    )
    runner.train()
    assert sum(asked) == 18 * 4


def test_nothing_for_a_model_without_teacher(build):
    runner = build(
        'baselines/source_only_mbv3_domain_folder.py',
        **{'train_dataloader.batch_size': 2, 'train_cfg.max_epochs': 1},
    )
    runner.train()
    assert not hasattr(runner.model, 'teacher_memory')


@pytest.mark.parametrize(
    'options, words',
    [
        ({'train_dataloader.sampler.num_views': None}, 'num_views'),
        ({'custom_hooks.5.max_gigabytes': 1e-9}, 'max_gigabytes'),
        (
            {
                'data_preprocessor.batch_augments': dict(
                    augments=dict(type='Mixup', alpha=1.0)
                )
            },
            'augments',
        ),
    ],
)
def test_what_cannot_be_kept_is_refused(build, options, words):
    with pytest.raises(UserError, match=words):
        build(**options).train()
