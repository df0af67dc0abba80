"""A distiller is a classifier, and its teacher is held, not owned."""

import copy

import pytest
import torch
from mmengine.model import ExponentialMovingAverage
from mmpretrain.models.classifiers import BaseClassifier
from mmpretrain.structures import DataSample

from mmkd_custom.errors import UserError
from mmkd_custom.models import CustomKD
from mmkd_custom.models.distillers import Batch
from mmkd_custom.models.teachers import CachedTeacher, EnsembleTeacher
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


def test_batch_takes_labels_from_labelled_samples_only():
    samples = make_batch([3, None, 1])['data_samples']
    batch = Batch(torch.zeros(3, 3, 4, 4), samples, torch.tensor([0, 2]), None)
    assert batch.targets.tolist() == [3, -1, 1]
    assert len(batch.only_labelled().data_samples) == 2


def test_a_batch_without_labels_is_refused():
    model = build_customkd()
    model.set_stage(DISTILLATION)
    data = model.data_preprocessor(make_batch([None, None]), True)
    with pytest.raises(UserError, match='TwoStreamDataset'):
        model.loss(**data)


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


def test_teacher_inputs_are_what_the_teacher_sees():
    model = build_customkd()
    model.set_stage(DISTILLATION)
    model.eval()
    seen = []
    model.teacher.register_forward_pre_hook(
        lambda _, args: seen.append(args[0].shape)
    )
    batch = make_batch([0, 1, None, None])
    batch['teacher_inputs'] = make_batch([0] * 4, size=64)['inputs']
    model.loss(**model.data_preprocessor(batch, True))
    assert tuple(seen[0]) == (4, 3, 64, 64)


def test_a_teacher_must_be_a_teacher():
    with pytest.raises(UserError, match='FrozenTeacher'):
        CustomKD(student_config(), torch.nn.Linear(2, 2), input_size=32)


def test_a_cache_inside_another_teacher_is_refused():
    cached = CachedTeacher(teacher_config())
    ensemble = EnsembleTeacher([cached], mode='features')
    with pytest.raises(
        UserError, match='inside a EnsembleTeacher would never be used'
    ):
        CustomKD(student_config(), ensemble, input_size=32)
    CustomKD(student_config(), cached, input_size=32)


def test_a_student_config_may_bring_its_own_preprocessor():
    student = dict(student_config(), data_preprocessor=dict(num_classes=5))
    model = CustomKD(student, teacher_config(), input_size=32)
    assert type(model.data_preprocessor).__name__ == 'DistillDataPreprocessor'
