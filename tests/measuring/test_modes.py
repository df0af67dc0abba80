"""Each mode's config leaves what it is to leave, and nothing else."""

import copy

import pytest
from mmengine.config import Config

from mmkd_custom.engine.config import load_config, prepare
from mmkd_custom.errors import UserError
from mmkd_custom.measuring.modes import MODES, mode_configs
from tests.cli import REPOSITORY
from tests.helpers import make_domains

PATH = REPOSITORY / 'configs' / 'customkd_mbv3_domain_folder_128.py'


@pytest.fixture
def config(tmp_path, monkeypatch):
    root = make_domains(tmp_path / 'data', per_class=1)
    for name, value in dict(
        DATA_ROOT=str(root), SOURCE='art', TARGET='photo', SEED='3'
    ).items():
        monkeypatch.setenv(name, value)
    return prepare(load_config(PATH), config_path=PATH)


def types(hooks):
    return [hook['type'] for hook in hooks]


def test_the_student_alone_is_plain_mmpretrain(config, tmp_path):
    config.optim_wrapper.stages.distillation = dict(
        optimizer=dict(type='SGD', lr=0.1)
    )
    student = mode_configs(config, tmp_path, 3, 1)['student_only']
    preprocessor = student.model.pop('data_preprocessor')
    assert student.model == config.model.student
    assert preprocessor == dict(
        config.data_preprocessor, type='mmpretrain.ClsDataPreprocessor'
    )
    # Its own optimiser, as the distillation stage has it.
    assert student.optim_wrapper == dict(
        type='OptimWrapper', optimizer=dict(type='SGD', lr=0.1)
    )
    assert student.train_cfg == dict(
        type='mmkd_custom.WindowLoop', max_epochs=40, batches=3, plain=True
    )
    assert types(student.custom_hooks) == ['EpochSeedHook']
    assert not {'runtime_info', 'param_scheduler'} & set(student.default_hooks)


def test_the_student_alone_in_the_layout_of_distillation(config, tmp_path):
    configs = mode_configs(config, tmp_path, 3, 1)
    plain, last = (
        configs[name].to_dict()
        for name in ('student_only', 'student_channels_last')
    )
    assert last['work_dir'] == str(tmp_path / 'student_channels_last')
    assert last['model']['data_preprocessor']['type'] == (
        'mmkd_custom.DistillDataPreprocessor'
    )
    for each in (plain, last):
        del each['work_dir'], each['model']['data_preprocessor']['type']
    assert plain == last


def test_distilling_modes_differ_in_their_teacher_alone(config, tmp_path):
    before = copy.deepcopy(config.to_dict())
    configs = mode_configs(config, tmp_path, 3, 1)
    assert config.to_dict() == before
    assert set(configs) == {'fill', *MODES}
    bare, cached = config.model.teacher.teacher, configs['cached']
    assert configs['uncached'].model.teacher == bare
    assert cached.model.teacher == dict(
        type='CachedTeacher', teacher=bare, cache_dir=str(tmp_path / 'cache')
    )
    for name in ('fill', 'customize_cached', 'uncached'):
        other = configs[name].to_dict()
        assert other['work_dir'] == str(tmp_path / name)
        other['work_dir'] = cached.work_dir
        if name == 'uncached':
            other['model']['teacher'] = cached.model.teacher
        assert other == cached.to_dict()
    # Nothing but what trains.
    assert set(types(cached.custom_hooks)) == {
        'StageHook',
        'EpochSeedHook',
        'TeacherCacheHook',
    }
    assert cached.default_hooks.checkpoint is None
    assert 'visualization' not in cached.default_hooks
    assert cached.val_cfg is None and cached.test_dataloader is None
    assert cached.train_dataloader.num_workers == 1
    assert cached.randomness.seed == 3


def test_a_config_without_a_cache_gets_one(config, tmp_path):
    config.model.teacher = config.model.teacher.teacher
    config.custom_hooks = [dict(type='mmkd_custom.StageHook')]
    config.randomness = dict(seed=None)
    configs = mode_configs(config, tmp_path, 3, 0)
    teacher = configs['cached'].model.teacher
    assert teacher.type == 'mmkd_custom.CachedTeacher'
    assert teacher.teacher == config.model.teacher
    assert types(configs['cached'].custom_hooks) == [
        'mmkd_custom.StageHook',
        'mmkd_custom.TeacherCacheHook',
    ]
    assert configs['uncached'].model.teacher == config.model.teacher
    # Else every mode would draw its own.
    assert {each.randomness.seed for each in configs.values()} == {0}
    assert not configs['cached'].train_dataloader.persistent_workers


def test_what_cannot_be_compared_is_refused(config, tmp_path):
    alone = Config(dict(model=config.model.student))
    with pytest.raises(UserError, match='no teacher and student'):
        mode_configs(alone, tmp_path, 3, 1)
    config.train_dataloader = None
    with pytest.raises(UserError, match='no train_dataloader'):
        mode_configs(config, tmp_path, 3, 1)
