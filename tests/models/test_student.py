"""The encoder/classifier split, head by head."""

import pytest
import torch
from mmpretrain.registry import MODELS
from mmpretrain.structures import DataSample

from mmkd_custom.errors import UserError
from mmkd_custom.models import Student
from tests.helpers import student_config

import mmpretrain.models  # noqa: F401  isort: skip


def classifier(head, width=8, **backbone):
    """A classifier with a small real backbone and the head under test."""
    return dict(
        type='mmpretrain.ImageClassifier',
        backbone=dict(
            type='mmpretrain.ResNet_CIFAR',
            depth=18,
            stem_channels=width,
            base_channels=width,
            **backbone,
        ),
        neck=dict(type='mmpretrain.GlobalAveragePooling'),
        head=head,
    )


def vit(head):
    return dict(
        type='mmpretrain.ImageClassifier',
        backbone=dict(
            type='mmpretrain.VisionTransformer',
            arch=dict(
                embed_dims=32,
                num_layers=2,
                num_heads=2,
                feedforward_channels=64,
            ),
            img_size=32,
            patch_size=16,
        ),
        head=head,
    )


CASES = {
    'linear': (
        classifier(
            dict(
                type='mmpretrain.LinearClsHead', num_classes=4, in_channels=64
            )
        ),
        'head.fc',
        64,
    ),
    'stacked': (
        classifier(
            dict(
                type='mmpretrain.StackedLinearClsHead',
                num_classes=4,
                in_channels=64,
                mid_channels=[4],
            )
        ),
        'head.layers.1.fc',
        4,
    ),
    'vit': (
        vit(
            dict(
                type='mmpretrain.VisionTransformerClsHead',
                num_classes=4,
                in_channels=32,
            )
        ),
        'head.layers.head',
        32,
    ),
    'vit hidden': (
        vit(
            dict(
                type='mmpretrain.VisionTransformerClsHead',
                num_classes=4,
                in_channels=32,
                hidden_dim=16,
            )
        ),
        'head.layers.head',
        16,
    ),
    'efficientformer': (
        classifier(
            dict(
                type='mmpretrain.EfficientFormerClsHead',
                num_classes=4,
                in_channels=64,
                distillation=False,
            )
        ),
        'head.head',
        64,
    ),
    'levit': (
        classifier(
            dict(
                type='mmpretrain.LeViTClsHead',
                num_classes=4,
                in_channels=64,
                distillation=False,
            )
        ),
        'head.head.linear',
        64,
    ),
    'timm': (
        dict(
            type='mmpretrain.TimmClassifier',
            model_name='mobilenetv3_small_050',
            num_classes=4,
        ),
        'model.classifier',
        1024,
    ),
    'mobilenet': (student_config(4), 'head.layers.1.fc', 64),
}


@pytest.mark.parametrize('name', CASES)
def test_split(name):
    config, path, width = CASES[name]
    torch.manual_seed(0)
    model = MODELS.build(config).eval()
    student = Student(model, input_size=32)
    assert student.classifier_path == path
    assert (student.feature_dim, student.num_classes) == (width, 4)
    inputs = torch.randn(3, 3, 32, 32)
    with torch.no_grad():
        feature, logits = student.forward(inputs)
        torch.testing.assert_close(logits, model(inputs, mode='tensor'))
        assert feature.shape == (3, width)
        # What the last layer consumes, classified by it, are the logits.
        torch.testing.assert_close(student.classify(feature), logits)


def test_finding_it_changes_nothing():
    torch.manual_seed(0)
    model = MODELS.build(student_config()).train()
    before = {k: v.clone() for k, v in model.state_dict().items()}
    state = torch.get_rng_state()
    Student(model, input_size=32)
    assert torch.equal(torch.get_rng_state(), state)
    assert model.training
    assert all(
        torch.equal(v, before[k]) for k, v in model.state_dict().items()
    )


def test_two_linear_ends_must_be_chosen_between():
    head = dict(
        type='mmpretrain.EfficientFormerClsHead',
        num_classes=4,
        in_channels=64,
        distillation=True,
    )
    model = MODELS.build(classifier(head))
    with pytest.raises(UserError, match='classifier'):
        Student(model, input_size=32)
    assert Student(model, 'head.dist_head').num_classes == 4


def test_errors_name_what_there_is():
    model = MODELS.build(student_config())
    with pytest.raises(UserError, match='head.layers.1.fc'):
        Student(model, 'head.layers.1.fcc')
    with pytest.raises(UserError, match='Conv2d'):
        Student(model, 'backbone.layer0.conv')
    with pytest.raises(UserError, match='input_size'):
        Student(MODELS.build(CASES['vit'][0]), input_size=0)


def test_supervised_loss_is_the_heads_own():
    config = classifier(
        dict(
            type='mmpretrain.LinearClsHead',
            num_classes=4,
            in_channels=64,
            loss=dict(
                type='mmpretrain.LabelSmoothLoss',
                label_smooth_val=0.1,
                mode='original',
            ),
        )
    )
    model = MODELS.build(config).eval()
    student = Student(model, input_size=32)
    samples = [DataSample().set_gt_label(i) for i in range(3)]
    logits = torch.randn(3, 4)
    expected = torch.nn.functional.cross_entropy(
        logits, torch.arange(3), label_smoothing=0.1
    )
    torch.testing.assert_close(
        student.supervised_loss(logits, samples), expected
    )


def dropped(name, rate):
    """A student whose last layer consumes what was dropped out, or not."""
    torch.manual_seed(0)
    if name == 'mobilenet':
        config = student_config(4)
        config['head']['dropout_rate'] = rate
        return MODELS.build(config)
    model = MODELS.build(
        dict(
            type='mmpretrain.TimmClassifier',
            model_name='test_vit',
            img_size=32,
            num_classes=4,
            drop_rate=0.0,
            loss=dict(type='mmpretrain.CrossEntropyLoss'),
        )
    )
    if rate:
        # Two in a row, one of which works in place.
        model.model.head_drop = torch.nn.Sequential(
            torch.nn.Dropout(rate, inplace=True), torch.nn.Dropout(rate)
        )
    return model


@pytest.mark.parametrize('name', ['mobilenet', 'timm'])
def test_the_feature_is_not_dropped_out(name):
    plain, model = dropped(name, 0.0), dropped(name, 0.9)
    model.load_state_dict(plain.state_dict())
    inputs = torch.randn(8, 3, 32, 32)
    (expected, whole), (feature, logits) = (
        Student(m.train(), input_size=32).forward(inputs)
        for m in (plain, model)
    )
    assert torch.equal(feature, expected)
    assert not torch.allclose(logits, whole, rtol=0.1)
    feature.sum().backward()
    first = next(iter(model.parameters()))
    assert first.grad is not None and first.grad.abs().sum() > 0
    # Logits of the plain student are those of its feature.
    torch.testing.assert_close(
        Student(plain, input_size=32).classify(expected), whole
    )
    # A named layer is split in the same place.
    path = Student(plain, input_size=32).classifier_path
    named = Student(model, path, input_size=32)
    assert torch.equal(named.forward(inputs)[0], feature)


def test_a_dropout_that_hides_the_feature_is_refused():
    model = MODELS.build(
        dict(
            type='mmpretrain.TimmClassifier',
            model_name='mobilenetv3_small_050',
            num_classes=4,
            drop_rate=0.2,
        )
    )
    with pytest.raises(UserError, match='drop_rate'):
        Student(model, input_size=32)
