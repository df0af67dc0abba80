"""What cannot work is refused in one sentence that names the option."""

import pytest

from mmkd_custom.errors import UserError
from mmkd_custom.expand import expand
from mmkd_custom.expand.data import check_images
from tests.expand.configs import student_alone

TWO_STREAMS = dict(type='mmkd_custom.TwoStreamDataset')
LAYERS = 'LearningRateDecayOptimWrapperConstructor'


@pytest.mark.parametrize(
    'distill, said',
    [
        (dict(teecher='timm/x'), "distill.teecher.*nearest: 'teacher'"),
        (dict(methd='dkd'), "distill.methd.*nearest: 'method'"),
        (dict(method='custmkd'), "distill.method.*nearest: 'customkd'"),
        (dict(method=dict(type='MSE')), "distill.method.*'MSE'"),
        (dict(method=dict(type='NoSuch')), 'distill.method.*NoSuch'),
        (dict(method=dict(general_weight=1)), 'distill.method'),
        (dict(method=dict(type='CustomKD', student={})), 'no student'),
        (dict(method=3), 'distill.method.*3'),
        (dict(teacher={}), 'distill.teacher.*type'),
        (dict(teacher=None), 'distill.teacher.*None'),
        (dict(unlabelled='no/such'), 'distill.unlabelled.*no/such'),
        (dict(unlabelled=''), 'distill.unlabelled'),
        (dict(unlabelled=dict(path='x')), 'distill.unlabelled.*type'),
        (dict(unlabelled=dict(type='ResNet')), 'distill.unlabelled.*ResNet'),
        (dict(unlabelled=None, unlabelled_batch=3), 'unlabelled_batch'),
        (dict(teacher_size='big'), 'distill.teacher_size'),
        (dict(views=0), 'distill.views'),
        (dict(teacher_view='hole'), 'distill.teacher_view'),
        (dict(cache=2), 'distill.cache'),
        (
            dict(
                method=dict(
                    type='CustomKD',
                    schedule=dict(customization=1, distillation=2),
                )
            ),
            'distill.method.schedule',
        ),
    ],
)
def test_the_key(root, distill, said):
    config = student_alone(root)
    for name, value in distill.items():
        config.distill[name] = value
    with pytest.raises(UserError, match=said):
        expand(config)


@pytest.mark.parametrize(
    'value, said', [('timm/x', 'distill: .*dict'), ({}, "'teacher'")]
)
def test_the_key_itself(root, value, said):
    config = student_alone(root)
    config._cfg_dict['distill'] = value
    with pytest.raises(UserError, match=said):
        expand(config)


def test_an_empty_folder(root, tmp_path):
    config = student_alone(root)
    config.distill.unlabelled = str(tmp_path)
    with pytest.raises(UserError, match='distill.unlabelled.*none'):
        expand(config)


@pytest.mark.parametrize(
    'changes, said',
    [
        (dict(model=dict(type='CustomKD')), 'CustomKD'),
        (dict(model=dict(type='MAE')), 'MAE'),
        (dict(model=dict(type='ResNet')), 'ResNet'),
        (dict(train_dataloader__dataset=TWO_STREAMS), 'TwoStreamDataset'),
        (
            dict(train_dataloader__sampler=dict(type='RepeatAugSampler')),
            'train_dataloader.sampler.*RepeatAugSampler',
        ),
        (
            dict(train_dataloader__batch_sampler=dict(type='Other')),
            'batch_sampler.*Other',
        ),
        (
            dict(data_preprocessor=dict(type='SelfSupDataPreprocessor')),
            'SelfSupDataPreprocessor',
        ),
        (dict(optim_wrapper__constructor=LAYERS), LAYERS),
        (dict(runner_type='FlexibleRunner'), 'FlexibleRunner'),
        (
            dict(custom_hooks=[dict(type='SwitchRecipeHook', schedule=[])]),
            'SwitchRecipeHook',
        ),
        (
            dict(train_cfg=dict(by_epoch=False, max_iters=9)),
            'train_cfg counts iterations',
        ),
    ],
)
def test_the_config_around_it(root, changes, said):
    if changes.get('model', {}).get('type') == 'CustomKD':
        changes = dict(model__type='mmkd_custom.CustomKD')
    with pytest.raises(UserError, match=said):
        expand(student_alone(root, **changes))


@pytest.mark.parametrize(
    'option, written',
    [
        ('model.teacher.cache_dir', 'distill.cache=DIR'),
        ('model.teacher.teacher.model_name', 'distill.teacher'),
        ('model.teacher.teacher.input_size', 'distill.teacher_size'),
        ('model.student.init_cfg.type', 'model.init_cfg.type'),
        ('model.input_size', 'distill.input_size'),
        ('model.general_weight', 'distill.method=dict(type=…)'),
        (
            'train_dataloader.dataset.labelled.data_prefix',
            'train_dataloader.dataset.data_prefix',
        ),
        ('train_dataloader.dataset.unlabelled.x', 'distill.unlabelled'),
        ('train_dataloader.sampler.labelled', 'train_dataloader.batch_size'),
        ('train_dataloader.sampler.num_views', 'distill.views'),
        ('optim_wrapper.stages.customization.x', 'distill.customization'),
    ],
)
def test_options_that_only_the_expanded_config_has(root, option, written):
    config = student_alone(root)
    config.merge_from_dict({option: 'given'})
    with pytest.raises(UserError) as refused:
        expand(config)
    assert str(refused.value) == (
        f'{option}: expected {written}, where a config with the key distill '
        "has it, got 'given'."
    )


def test_a_dataset_of_the_users_may_have_options_of_these_names(root):
    dataset = dict(type='Mine', pipelines=[[], []], unlabelled=True)
    check_images(student_alone(root, train_dataloader__dataset=dataset))


def test_layer_wise_rates_with_one_stage(root):
    config = student_alone(
        root, dict(method='fitnet'), optim_wrapper__constructor=LAYERS
    )
    assert expand(config).optim_wrapper.constructor == LAYERS
