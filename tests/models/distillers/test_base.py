"""A distiller is a classifier, and its teacher is held, not owned."""

import copy

import pytest
import torch
from mmengine.model import ExponentialMovingAverage
from mmpretrain.models.classifiers import BaseClassifier
from mmpretrain.structures import DataSample

from mmkd_custom.errors import UserError
from mmkd_custom.models import CustomKD
from mmkd_custom.stages import DISTILLATION
from tests.helpers import (
    build_customkd,
    make_batch,
    student_config,
    teacher_config,
)


def test_the_teacher_is_in_nothing_that_is_trained_saved_or_copied():
    model = build_customkd()
    teacher = {id(p) for p in model.teacher.parameters()}
    assert teacher
    assert not teacher & {id(p) for p in model.parameters()}
    assert not [k for k in model.state_dict() if k.startswith('teacher.')]
    assert 'teacher' not in dict(model.named_children())
    assert copy.deepcopy(model).teacher is model.teacher
    assert ExponentialMovingAverage(model).module.teacher is model.teacher


def test_the_teacher_stays_eval_and_follows_the_device():
    model = build_customkd()
    model.train()
    assert not any(m.training for m in model.teacher.modules())
    dtype = next(model.teacher.parameters()).dtype
    model.double()
    assert next(model.teacher.parameters()).dtype == dtype
    model.to('meta')
    assert next(model.teacher.parameters()).device.type == 'meta'


def test_tensor_and_predict_are_the_student():
    model = build_customkd().eval()
    assert isinstance(model, BaseClassifier)
    inputs = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        torch.testing.assert_close(model(inputs), model.student(inputs))
        ours = model(inputs, [DataSample(), DataSample()], mode='predict')
        theirs = model.student.predict(inputs)
    for a, b in zip(ours, theirs):
        torch.testing.assert_close(a.pred_score, b.pred_score)


def test_a_copy_views_its_own_student():
    model = build_customkd()
    twin = copy.deepcopy(model)
    assert twin.student_view.classifier is not model.student_view.classifier
    assert twin.student_view.classifier is (twin.student.head.layers[-1].fc)


def test_train_keeps_what_the_stage_does_not_train_in_eval():
    model = build_customkd()
    model.set_stage(DISTILLATION)
    model.train()
    assert model.student.training
    assert not model.teacher_projection.training
    model.set_stage('customization')
    assert not model.student.training
    assert model.teacher_projection.training
    model.eval()
    assert not any(m.training for m in model.modules())


def test_soft_labels_of_mixup_reach_the_labelled_half_only():
    model = build_customkd(
        data_preprocessor=dict(
            num_classes=5,
            batch_augments=dict(augments=dict(type='Mixup', alpha=1.0)),
        )
    )
    model.train()
    model.set_stage(DISTILLATION)
    batch = make_batch([0, 1, None, None])
    raw = batch['inputs'].float()
    data = model.data_preprocessor(batch, True)
    assert torch.equal(data['inputs'][2:], raw[2:])
    losses = model.loss(**data)
    assert torch.isfinite(losses['loss_ce'])
    assert all('gt_score' in s for s in data['data_samples'][:2])
    assert not any('gt_score' in s for s in data['data_samples'][2:])


LOSSES = [
    dict(type='CrossEntropyLoss'),
    dict(type='LabelSmoothLoss', label_smooth_val=0.1),
    dict(type='CrossEntropyLoss', use_sigmoid=True),
]


@pytest.mark.parametrize('mixed', [False, True])
@pytest.mark.parametrize('loss', LOSSES)
def test_a_student_of_mmpretrain_brings_its_mixing_along(loss, mixed):
    student = student_config()
    student['head']['loss'] = dict(loss)
    if mixed:
        student['train_cfg'] = dict(augments=dict(type='Mixup', alpha=1.0))
    model = build_customkd(student=student, data_preprocessor=None).train()
    model.set_stage(DISTILLATION)
    seen = []
    model.teacher.register_forward_pre_hook(
        lambda _, args: seen.append(args[0])
    )
    torch.manual_seed(0)
    data = model.data_preprocessor(make_batch([0, 1, 2, None]), True)
    losses = model.loss(**data)
    logits = []
    model.student.register_forward_hook(lambda *args: logits.append(args[2]))
    model.eval()
    # MMPretrain's own loss on the same images and labels.
    ours = model.loss(**data)['loss_ce']
    theirs = model.student.head._get_loss(
        logits[0][:3], data['data_samples'][:3]
    )
    torch.testing.assert_close(ours, theirs['loss'])
    assert torch.isfinite(losses['loss_ce'])
    # The teacher sees what the student sees.
    wanted = model.teacher.prepare(data['inputs'], to_rgb=False)
    torch.testing.assert_close(seen[0], wanted)
    raw = make_batch([0, 1, 2, None])['inputs'].float()
    assert torch.equal(data['inputs'], raw) is not mixed


def test_classes_of_the_scores_are_those_of_the_student():
    student = student_config()
    student['train_cfg'] = dict(augments=dict(type='Mixup', alpha=1.0))
    with pytest.raises(UserError, match='num_classes'):
        build_customkd(
            student=student, data_preprocessor=dict(num_classes=1000)
        )


@pytest.mark.parametrize('backbone', ['AlexNet', 'LeNet5'])
def test_students_of_another_layout_or_one_channel_train(backbone):
    size, channels = (224, 3) if backbone == 'AlexNet' else (32, 1)
    model = build_customkd(
        student=dict(
            type='ImageClassifier',
            backbone=dict(type=backbone, num_classes=5),
            head=dict(type='ClsHead', loss=dict(type='CrossEntropyLoss')),
        ),
        input_size=size,
        data_preprocessor=dict(mean=[127.0] * channels, std=[64.0] * channels),
    ).train()
    model.set_stage(DISTILLATION)
    batch = make_batch([0, 1, None], size=size)
    batch['inputs'] = batch['inputs'][:, :channels]
    losses = model.loss(**model.data_preprocessor(batch, True))
    losses['loss_ce'].backward()
    assert torch.isfinite(losses['loss_general'])
    # Without labels, too.
    batch = make_batch([None, None], size=size)
    batch['inputs'] = batch['inputs'][:, :channels]
    assert model.eval().val_step(batch)[0].pred_score.shape == (5,)


def test_the_teacher_sees_its_own_view():
    model = build_customkd()
    model.set_stage(DISTILLATION)
    model.eval()
    seen = []
    model.teacher.register_forward_pre_hook(
        lambda _, args: seen.append(args[0].shape)
    )
    batch = make_batch([0, 1, None, None])
    batch['views'] = dict(teacher=make_batch([0] * 4, size=64)['inputs'])
    model.loss(**model.data_preprocessor(batch, True))
    assert tuple(seen[0]) == (4, 3, 64, 64)


def test_a_student_config_may_bring_its_own_preprocessor():
    student = dict(student_config(), data_preprocessor=dict(num_classes=5))
    model = CustomKD(student, teacher_config(), input_size=32)
    assert type(model.data_preprocessor).__name__ == 'DistillDataPreprocessor'
