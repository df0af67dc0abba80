"""Each mode's config leaves what it is to leave, and nothing else."""

import copy

import pytest
from mmengine.config import Config

from mmkd_custom.errors import UserError
from mmkd_custom.measuring.modes import MODES, mode_configs


def types(hooks):
    return [hook['type'] for hook in hooks]


def test_student_alone_is_plain_mmpretrain(config, tmp_path):
    sgd = dict(optimizer=dict(type='SGD', lr=0.1))
    config.optim_wrapper.stages.distillation = sgd
    modes = mode_configs(config, tmp_path, 3, 1)
    plain, last = modes['student_only'], modes['student_channels_last']
    for each, kind in (
        (plain, 'mmpretrain.ClsDataPreprocessor'),
        (last, 'mmkd_custom.DistillDataPreprocessor'),
    ):
        # The layout of the images is all in which the two differ.
        assert each.pop('work_dir') != str(tmp_path)
        preprocessor = each.model.pop('data_preprocessor')
        assert preprocessor == dict(config.data_preprocessor, type=kind)
    assert plain.to_dict() == last.to_dict()
    assert plain.model == config.model.student
    # Its own optimiser, as the distillation stage has it.
    assert plain.optim_wrapper == dict(type='OptimWrapper', **sgd)
    assert plain.train_cfg.plain and plain.train_cfg.batches == 3
    assert types(plain.custom_hooks) == ['EpochSeedHook']
    assert not {'runtime_info', 'param_scheduler'} & set(plain.default_hooks)


def test_distilling_modes_differ_in_their_teacher_alone(config, tmp_path):
    before = copy.deepcopy(config.to_dict())
    modes = mode_configs(config, tmp_path, 3, 1)
    assert config.to_dict() == before
    assert set(modes) == {'fill', *MODES}
    bare, cached = config.model.teacher.teacher, modes['cached']
    assert modes['uncached'].model.teacher == bare
    assert cached.model.teacher == dict(
        type='CachedTeacher', teacher=bare, cache_dir=str(tmp_path / 'cache')
    )
    for name in ('fill', 'customize_cached', 'uncached'):
        other = modes[name].to_dict()
        assert other['work_dir'] == str(tmp_path / name)
        other['work_dir'] = cached.work_dir
        if name == 'uncached':
            other['model']['teacher'] = cached.model.teacher
        assert other == cached.to_dict()
    # Nothing but what trains.
    hooks = {'StageHook', 'EpochSeedHook', 'TeacherCacheHook'}
    assert set(types(cached.custom_hooks)) == hooks
    assert cached.default_hooks.checkpoint is None
    assert cached.val_cfg is None and cached.test_dataloader is None
    assert cached.train_dataloader.num_workers == 1
    assert cached.randomness.seed == 3


def test_config_without_cache_or_seed_gets_both(config, tmp_path):
    config.model.teacher = config.model.teacher.teacher
    config.custom_hooks = [dict(type='mmkd_custom.StageHook')]
    config.randomness = dict(seed=None)
    modes = mode_configs(config, tmp_path, 3, 0)
    teacher = modes['cached'].model.teacher
    assert teacher.type == 'mmkd_custom.CachedTeacher'
    assert teacher.teacher == config.model.teacher
    assert types(modes['cached'].custom_hooks) == [
        'mmkd_custom.StageHook',
        'mmkd_custom.TeacherCacheHook',
    ]
    assert modes['uncached'].model.teacher == config.model.teacher
    # Else every mode would draw its own images.
    assert {each.randomness.seed for each in modes.values()} == {0}
    assert not modes['cached'].train_dataloader.persistent_workers


def test_what_cannot_be_compared_is_refused(config, tmp_path):
    with pytest.raises(UserError, match='teacher'):
        mode_configs(Config(dict(model=dict(type='A'))), tmp_path, 3, 1)
    config.train_dataloader = None
    with pytest.raises(UserError, match='train_dataloader'):
        mode_configs(config, tmp_path, 3, 1)
