"""The encoder/classifier split, head by head."""

import copy

import pytest
import torch
from mmpretrain.models.heads import LinearClsHead
from mmpretrain.registry import MODELS
from mmpretrain.structures import DataSample

from mmkd_custom.errors import UserError
from mmkd_custom.models import Student
from tests.helpers import student_config

import mmpretrain.models  # noqa: F401  isort: skip


def said(student, images):
    """Feature and logits."""
    output = student.run(images)
    return output.feature, output.logits


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
    assert student.split.classifier == path
    assert (student.feature_dim, student.num_classes) == (width, 4)
    inputs = torch.randn(3, 3, 32, 32)
    with torch.no_grad():
        feature, logits = said(student, inputs)
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


def linear(head='LinearClsHead', num_classes=4, **options):
    return classifier(
        dict(
            type=f'mmpretrain.{head}',
            num_classes=num_classes,
            in_channels=64,
            **options,
        )
    )


def plain(backbone, **options):
    """A backbone that has the classifier in it."""
    return dict(
        type='mmpretrain.ImageClassifier',
        backbone=dict(type=f'mmpretrain.{backbone}', num_classes=4, **options),
        head=dict(type='mmpretrain.ClsHead', loss=dict(**CROSS_ENTROPY)),
    )


CROSS_ENTROPY = dict(type='mmpretrain.CrossEntropyLoss')
SEESAW = dict(type='mmpretrain.SeesawLoss', num_classes=4)
SMOOTH = dict(type='mmpretrain.LabelSmoothLoss', label_smooth_val=0.1)
REFUSED = {
    'two ends': linear('EfficientFormerClsHead', distillation=True),
    'two ends, averaged': linear('LeViTClsHead', distillation=True),
    'two branches': dict(
        type='mmpretrain.ImageClassifier',
        backbone=dict(
            type='mmpretrain.Conformer',
            arch=dict(embed_dims=32, channel_ratio=1, num_heads=2, depths=12),
        ),
        head=dict(
            type='mmpretrain.ConformerHead',
            num_classes=4,
            in_channels=[256, 32],
        ),
    ),
    'a margin': linear('ArcFaceClsHead'),
    'several labels': linear('MultiLabelLinearClsHead'),
    'equal zeros': dict(
        type='mmpretrain.TimmClassifier',
        model_name='levit_128s',
        num_classes=4,
    ),
}


@pytest.mark.parametrize('name', REFUSED)
def test_a_head_that_is_more_than_a_linear_layer_is_refused(name):
    model = MODELS.build(REFUSED[name])
    size = 224 if name in ('two branches', 'equal zeros') else 32
    head = getattr(model, 'head', model)
    with pytest.raises(UserError, match=type(head).__name__):
        Student(model, input_size=size)


def test_a_loss_of_other_classes_is_refused():
    model = MODELS.build(linear(loss=dict(SMOOTH, num_classes=9)))
    with pytest.raises(UserError, match=r'head\.loss\.num_classes: .*4.*9'):
        Student(model, input_size=32)


def test_a_layer_that_is_not_the_last_is_refused():
    config = linear('EfficientFormerClsHead', distillation=True)
    with pytest.raises(UserError, match='head.dist_head'):
        Student(MODELS.build(config), 'head.dist_head', input_size=32)


class Scaled(LinearClsHead):
    """A head whose logits are no longer those of its last layer."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.scale = torch.nn.Parameter(torch.ones(()))

    def forward(self, feats):
        return super().forward(feats) * self.scale


class Otherwise(LinearClsHead):
    def _get_predictions(self, cls_score, data_samples):
        return super()._get_predictions(-cls_score, data_samples)


class Penalised(LinearClsHead):
    def loss(self, feats, data_samples):
        losses = super().loss(feats, data_samples)
        return dict(losses, loss_size=feats[-1].square().mean())


class Doubled(LinearClsHead):
    """Its own loss, but of logits alone."""

    def _get_loss(self, cls_score, data_samples):
        losses = super()._get_loss(cls_score, data_samples)
        return dict(losses, loss_again=losses['loss'], accuracy_top=1)


@pytest.mark.parametrize('head', [Scaled, Otherwise, Penalised])
def test_a_head_that_adds_to_its_layer_is_refused(head):
    model = MODELS.build(linear())
    model.head = head(num_classes=4, in_channels=64)
    with pytest.raises(UserError, match=head.__name__):
        Student(model, input_size=32)


@pytest.mark.parametrize(
    'loss, number, scores',
    [
        (CROSS_ENTROPY, 4, False),
        (SEESAW, 4, False),
        (SMOOTH, 4, False),
        (dict(CROSS_ENTROPY, use_sigmoid=True), 4, True),
        # As many images as classes.
        (dict(CROSS_ENTROPY, use_soft=True), 2, True),
    ],
)
@pytest.mark.parametrize('kind', ['head', 'doubled', 'timm'])
def test_the_loss_is_the_classifiers_own(loss, number, scores, kind):
    torch.manual_seed(0)
    if kind == 'timm':
        model = MODELS.build(
            dict(
                type='mmpretrain.TimmClassifier',
                model_name='test_resnet',
                num_classes=number,
                loss=dict(loss),
            )
        )
    else:
        model = MODELS.build(linear(num_classes=number, loss=dict(loss)))
    if kind == 'doubled':
        model.head = Doubled(number, 64, loss=dict(loss))
    student = Student(model.eval(), input_size=32)
    assert student.split.scores == scores
    samples = [DataSample().set_gt_label(i % number) for i in range(5)]
    for sample in samples if scores else ():
        sample.set_gt_score(torch.rand(number).softmax(0))
    images = torch.randn(5, 3, 32, 32)
    twin = copy.deepcopy(model)
    expected = twin(images, samples, mode='loss')
    expected = sum(v for k, v in expected.items() if 'loss' in k)
    logits = student.run(images).logits
    torch.testing.assert_close(
        student.supervised_loss(logits, samples), expected
    )


@pytest.mark.parametrize(
    'backbone, size, channels_last',
    [('AlexNet', 224, False), ('LeNet5', 32, True)],
)
def test_the_layout_and_the_channels_are_those_it_takes(
    backbone, size, channels_last
):
    model = MODELS.build(plain(backbone)).eval()
    student = Student(model, input_size=size)
    assert student.split.channels_last == channels_last
    channels = 1 if backbone == 'LeNet5' else 3
    images = torch.randn(2, channels, size, size)
    feature, logits = said(student, images)
    torch.testing.assert_close(student.classify(feature), logits)


def test_errors_name_what_there_is():
    model = MODELS.build(student_config())
    with pytest.raises(UserError, match='head.layers.1.fc'):
        Student(model, 'head.layers.1.fcc')
    with pytest.raises(UserError, match='Conv2d'):
        Student(model, 'backbone.layer0.conv')
    with pytest.raises(UserError, match='input_size'):
        Student(MODELS.build(CASES['vit'][0]), input_size=0)


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
        said(Student(m.train(), input_size=32), inputs) for m in (plain, model)
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
    path = Student(plain, input_size=32).split.classifier
    named = Student(model, path, input_size=32)
    assert torch.equal(named.run(inputs).feature, feature)


def test_a_dropout_that_is_a_function_is_undone_too():
    model = MODELS.build(
        dict(
            type='mmpretrain.TimmClassifier',
            model_name='mobilenetv3_small_050',
            num_classes=4,
            drop_rate=0.9,
        )
    )
    student = Student(model, input_size=32)
    images = torch.randn(4, 3, 32, 32)
    model.eval()
    wanted, logits = said(student, images)
    model.train()
    # Statistics of the batch are another matter.
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.eval()
    feature, dropped = said(student, images)
    assert torch.allclose(feature, wanted, atol=1e-6)
    assert not torch.allclose(dropped, logits, atol=1e-3)
    dropped.sum().backward()
    assert student.classifier.weight.grad.abs().sum() > 0
