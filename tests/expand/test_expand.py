"""What the key expands to, option by option."""

import pytest
from mmengine.config import Config

from mmkd_custom.expand import expand
from tests.expand.configs import TEACHER, student_alone

HOOKS = 'StageHook EpochSeedHook StrictLoadHook ResultsHook ClassesHook'


def names(hooks):
    return [hook['type'].rpartition('.')[2] for hook in hooks]


def test_a_config_without_the_key_is_left_alone():
    config = Config(dict(model=dict(type='CustomKD')))
    assert expand(config) is config


def test_all_that_a_run_needs_follows(root):
    given = student_alone(root)
    config = expand(given)
    assert 'distill' not in config and 'distill' in given
    model = config.model
    assert model.type == 'mmkd_custom.CustomKD'
    assert model.teacher == dict(TEACHER, type='mmkd_custom.TimmTeacher')
    assert model.input_size == 32
    # Counted of the images.
    assert model.student.head.num_classes == 3
    assert config.data_preprocessor.num_classes == 3
    assert config.val_evaluator.topk == (1,)
    loader = config.train_dataloader
    assert loader.batch_size == 4
    assert (loader.sampler.labelled, loader.sampler.unlabelled) == (2, 2)
    assert config.auto_scale_lr.base_batch_size == 4
    assert loader.dataset.labelled == given.train_dataloader.dataset
    unlabelled = loader.dataset.unlabelled
    assert unlabelled.type == 'mmkd_custom.ImageFolder'
    assert unlabelled.pipeline == loader.dataset.labelled.pipeline
    assert set(HOOKS.split()) <= set(names(config.custom_hooks))
    assert config.default_hooks.checkpoint.backend_args.backend == 'atomic'
    assert config.find_unused_parameters is True
    assert config.randomness.seed == 0
    assert config.log_beginning == [
        'distill: randomness.seed is 0, for want of one.',
        'distill: num_classes is 3, as the labelled images have it, not 1000.',
    ]
    assert config.custom_imports.imports == ['mmkd_custom']
    second = config.optim_wrapper.stages.customization
    assert second.optimizer.type == 'AdamW'
    assert second.paramwise_cfg is None


def test_the_student_has_its_epochs(root):
    ema = dict(type='EMAHook', begin_epoch=3, begin_iter=0)
    config = expand(
        student_alone(
            root,
            custom_hooks=[ema],
            train_cfg=dict(
                max_epochs=6, val_interval=3, dynamic_intervals=[(4, 1)]
            ),
            param_scheduler=[
                dict(type='StepLR', step_size=2, gamma=0.9),
                dict(type='ExponentialLR', gamma=0.25, begin=1, end=3),
                dict(type='CosineAnnealingLR', T_max=5, begin=5),
            ],
        )
    )
    assert config.train_cfg.max_epochs == 12
    assert config.train_cfg.val_interval == 6
    assert config.train_cfg.dynamic_intervals == [(8, 2)]
    step, power, cosine = config.param_scheduler
    assert step.step_size == 4 and step.gamma == 0.9
    assert (power.begin, power.end, power.gamma) == (2, 6, 0.5)
    assert (cosine.T_max, cosine.begin) == (10, 10)
    assert config.custom_hooks[0].begin_epoch == 6
    assert config.default_hooks.checkpoint.interval == 2
    schedule = dict(customization=2, distillation=1)
    method = dict(type='CustomKD', schedule=schedule)
    config = expand(student_alone(root, dict(method=method)))
    assert config.train_cfg.max_epochs == 6


@pytest.mark.parametrize('method', ['soft_target', 'dkd', 'fitnet'])
def test_a_method_of_one_stage_leaves_the_schedule(root, method):
    given = student_alone(root, dict(method=method))
    config = expand(given)
    assert config.train_cfg.max_epochs == given.train_cfg.max_epochs
    assert config.param_scheduler == given.param_scheduler
    assert 'stages' not in config.optim_wrapper


def test_options_of_the_key(root):
    config = expand(
        student_alone(
            root,
            dict(
                teacher_size=64,
                cache='kept',
                unlabelled_batch=6,
                epoch_length=5,
                input_size=48,
                customization=dict(lr=0.5),
            ),
            default_hooks__checkpoint__out_dir='elsewhere',
        )
    )
    assert config.model.teacher.type == 'mmkd_custom.CachedTeacher'
    assert config.model.teacher.cache_dir == 'kept'
    assert config.model.teacher.teacher.input_size == 64
    assert config.model.input_size == 48
    sampler = config.train_dataloader.sampler
    assert (sampler.unlabelled, sampler.epoch_length) == (6, 5)
    assert sampler.num_views == 4
    assert config.train_dataloader.batch_size == 8
    assert config.auto_scale_lr.base_batch_size == 8
    stages = config.optim_wrapper.stages
    assert stages.customization.optimizer.lr == 0.5
    # Who stores elsewhere has a backend of his own.
    assert 'backend_args' not in config.default_hooks.checkpoint


def test_a_whole_image_for_the_teacher(root):
    config = expand(
        student_alone(
            root, dict(teacher_view='whole', teacher_size=48, cache=True)
        )
    )
    dataset = config.train_dataloader.dataset
    assert dataset.clean == ('teacher',)
    assert dataset.pipelines.teacher[1].scale == (48, 48)
    # It is the same in every view of the student's.
    assert config.train_dataloader.sampler.num_views is None


def test_weights_of_the_student_alone(root):
    config = expand(student_alone(root, load_from='student.pth'))
    assert config.load_from is None
    assert config.model.student.init_cfg.checkpoint == 'student.pth'
    going_on = dict(load_from='run.pth', resume=True)
    assert expand(student_alone(root, **going_on)).load_from == 'run.pth'


def test_hooks_of_the_config_stay(root):
    own = [dict(type='mmkd_custom.FiniteLossHook', action='skip')]
    config = expand(student_alone(root, custom_hooks=own))
    assert names(config.custom_hooks).count('FiniteLossHook') == 1
    assert config.custom_hooks[0].action == 'skip'


def test_the_preprocessor_in_the_model_counts(root):
    inner = dict(mean=[0.0], std=[1.0], num_classes=1000)
    config = expand(student_alone(root, model__data_preprocessor=inner))
    assert config.data_preprocessor.mean == [0.0]
    assert 'data_preprocessor' not in config.model.student
