"""Names and values of a config that are refused when it is read."""

import pytest
from mmengine.config import Config

from mmkd_custom.engine.values import (
    check_file_names,
    check_option_names,
    check_values,
)
from mmkd_custom.errors import UserError

CONFIG = dict(
    model=dict(type='CustomKD'),
    train_cfg=dict(by_epoch=True, max_epochs=2),
    data_root='data',
)


@pytest.mark.parametrize(
    'name, words',
    [
        ('train_cgf.max_epochs', ["'train_cfg'"]),
        ('modle.x', ["'model'"]),
        ('model..x', ['model..x']),
        # A variable: what was made of it keeps its value.
        ('data_root', ['data_root', 'variable']),
    ],
)
def test_an_option_that_nothing_reads_is_named(name, words):
    with pytest.raises(UserError) as error:
        check_option_names([name], Config(CONFIG))
    for word in words:
        assert word in str(error.value)


def test_options_of_a_run_need_not_be_in_the_file():
    check_option_names(
        [
            'model.anything.0',
            'load_from',
            'val_cfg.fp16',
            'find_unused_parameters',
            'tta_pipeline',
            'task',
        ],
        Config(CONFIG),
    )


@pytest.mark.parametrize(
    'name, meant',
    [
        ('modle', 'model'),
        ('train_cgf', 'train_cfg'),
        ('val_dataloder', 'val_dataloader'),
        ('custom_hook', 'custom_hooks'),
    ],
)
def test_a_key_of_a_file_that_is_a_letter_off(name, meant):
    config = {k: v for k, v in CONFIG.items() if k != meant}
    with pytest.raises(UserError, match=f"'{name}'.*'{meant}'"):
        check_file_names(Config(dict(config, **{name: {}})))
    # Beside what it looks like, or unlike all, it is a variable.
    others = dict(train_pipeline=1, student=1, image_size=1)
    check_file_names(Config(dict(CONFIG, **{meant: {}, name: {}}, **others)))


@pytest.mark.parametrize(
    'option, value',
    [
        ('train_cfg.max_epochs', 0),
        ('train_cfg.max_epochs', -3),
        ('train_cfg.max_epochs', 2.5),
        ('train_cfg.max_epochs', 'abc'),
        ('train_cfg.val_interval', 0),
        ('train_cfg.val_begin', 'abc'),
        ('train_dataloader.batch_size', 'abc'),
        ('val_dataloader.batch_size', 0),
        ('train_dataloader.num_workers', -1),
        ('test_dataloader.num_workers', 1.5),
        ('train_dataloader.dataset.seed', 'abc'),
        ('randomness.seed', -1),
        ('randomness.seed', 2**32),
        ('randomness.seed', 'abc'),
        ('randomness.seed', 1.5),
        ('default_hooks.checkpoint.interval', 'abc'),
        ('default_hooks.checkpoint.max_keep_ckpts', 'abc'),
        ('default_hooks.visualization.interval', 0),
        ('custom_hooks.0.interval', 'abc'),
        ('param_scheduler.0.T_max', 'abc'),
        ('log_processor.window_size', 'abc'),
        ('resume', 'abc'),
        ('train_cfg.by_epoch', 'no'),
        ('auto_scale_lr.base_batch_size', 0),
        ('train_dataloader', 'abc'),
        ('model', 3),
    ],
)
def test_a_value_of_the_wrong_kind_is_named(option, value):
    config = Config(
        dict(
            train_cfg=dict(by_epoch=True, max_epochs=2),
            default_hooks=dict(
                checkpoint=dict(type='CheckpointHook'),
                visualization=dict(type='mmpretrain.VisualizationHook'),
            ),
            custom_hooks=[dict(type='EMAHook'), dict(type='StageHook')],
            param_scheduler=[dict(type='CosineAnnealingLR', T_max=3)],
            train_dataloader=dict(dataset=dict(type='TwoStreamDataset')),
            randomness=dict(seed=2**32 - 1),
        )
    )
    if option.startswith('custom_hooks'):
        config.custom_hooks[0] = dict(type='CheckpointHook')
    check_values(config)
    config.merge_from_dict({option: value})
    with pytest.raises(UserError) as error:
        check_values(config)
    assert option in str(error.value) and repr(value) in str(error.value)
