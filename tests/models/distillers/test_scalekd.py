"""ScaleKD against its equations: two places, two views, a frozen rest."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import timm
import torch
from torch.nn import functional as F

from mmkd_custom.cache import CachedTeacher
from mmkd_custom.errors import UserError
from mmkd_custom.models import ScaleKD
from mmkd_custom.models.distillers.mimicking import VIEWS
from mmkd_custom.models.losses import DualView
from mmkd_custom.stages import DISTILLATION
from tests.helpers import NUM_CLASSES, digests, make_batch, student_config

LABELS = [0, 1, None, None]
SIZE = 64
#: Six blocks of width 64, 4 x 4 patches.
TINY = dict(
    type='TimmTeacher',
    model_name='test_vit',
    input_size=64,
    num_classes=NUM_CLASSES,
)
#: The real kinds of network, as small as they go.
TEACHERS = dict(
    vit=dict(model_name='vit_small_patch16_224', depth=12, input_size=64),
    deep=dict(model_name='vit_tiny_patch16_224', depth=16, input_size=32),
    beit=dict(model_name='beit_base_patch16_224', depth=3, input_size=64),
    registers=dict(
        model_name='vit_small_patch14_reg4_dinov2', depth=4, input_size=56
    ),
    dinov3=dict(model_name='vit_small_patch16_dinov3', input_size=32),
    eva=dict(model_name='eva02_tiny_patch14_224', depth=4, input_size=28),
    swin=dict(
        model_name='swin_tiny_patch4_window7_224',
        depths=(1, 1, 1, 1),
        input_size=64,
        window_size=2,
    ),
)
VIT_STUDENT = dict(
    type='ImageClassifier',
    backbone=dict(
        type='VisionTransformer',
        arch=dict(
            embed_dims=16,
            num_layers=4,
            num_heads=2,
            feedforward_channels=32,
        ),
        img_size=SIZE,
        patch_size=16,
    ),
    head=dict(
        type='VisionTransformerClsHead',
        num_classes=NUM_CLASSES,
        in_channels=16,
    ),
)
MIXER_STUDENT = dict(
    type='ImageClassifier',
    backbone=dict(
        type='MlpMixer',
        arch=dict(
            embed_dims=16,
            num_layers=4,
            tokens_mlp_dims=8,
            channels_mlp_dims=32,
        ),
        img_size=SIZE,
        patch_size=16,
    ),
    neck=dict(type='GlobalAveragePooling', dim=1),
    head=dict(type='LinearClsHead', num_classes=NUM_CLASSES, in_channels=16),
)


def build(student=None, teacher=TINY, size=SIZE, **options) -> ScaleKD:
    torch.manual_seed(0)
    if isinstance(teacher, dict) and 'type' not in teacher:
        teacher = dict(TINY, **teacher)
    return ScaleKD(
        student or student_config(),
        teacher,
        input_size=size,
        data_preprocessor=dict(
            num_classes=NUM_CLASSES,
            mean=[123.675, 116.28, 103.53],
            std=[58.395, 57.12, 57.375],
        ),
        **options,
    )


def losses_of(model, labels=LABELS, size=SIZE):
    data = model.data_preprocessor(make_batch(labels, size=size), True)
    return model(**data, mode='loss')


def by_hand(found: torch.Tensor, target: torch.Tensor, view: str) -> float:
    """2 - 2 cos of each position; the other view by a cosine transform."""
    sides = [x.detach().double().numpy() for x in (found, target)]
    if view == 'alternative':
        edge = round(sides[0].shape[1] ** 0.5)
        sides = [without_zero_frequency(x, edge) for x in sides]
    a, b = (x / np.linalg.norm(x, axis=2, keepdims=True) for x in sides)
    return float(np.mean(2 - 2 * (a * b).sum(2)))


def without_zero_frequency(x: np.ndarray, edge: int) -> np.ndarray:
    """Zeroes the first coefficient of an orthonormal 2-d DCT-II."""
    n = np.arange(edge)
    basis = np.cos(np.pi * n[:, None] * (2 * n + 1) / (2 * edge))
    basis *= np.sqrt(2 / edge)
    basis[0] /= np.sqrt(2)
    maps = x.reshape(len(x), edge, edge, -1)
    spectrum = np.einsum('ua,vb,nabc->nuvc', basis, basis, maps)
    spectrum[:, 0, 0] = 0
    maps = np.einsum('ua,vb,nuvc->nabc', basis, basis, spectrum)
    return maps.reshape(x.shape)


def test_subtracting_the_mean_is_zeroing_the_zero_frequency():
    x = np.random.default_rng(0).normal(3, 1, (2, 49, 5))
    centred = x - x.mean(1, keepdims=True)
    assert np.abs(without_zero_frequency(x, 7) - centred).max() < 1e-12


def test_a_weight_means_the_same_on_every_grid():
    sides = torch.randn(2, 3, 8, 2, 2)
    loss = DualView(4.0, 2.5)
    wanted = loss(*sides)
    # Each position four times.
    finer = loss(*(F.interpolate(side, scale_factor=2) for side in sides))
    torch.testing.assert_close(finer, wanted)


def test_terms_equal_the_equations():
    weights = dict(original=3.0, alternative=0.5)
    student = student_config()
    student['head']['dropout_rate'] = 0.0
    model = build(student, stage3=weights, soft_weight=0.3).train()
    # Of six blocks the student's stage 3 goes before the fifth.
    assert (model.after, model.until) == (3, 4)
    data = model.data_preprocessor(make_batch(LABELS, size=SIZE), True)
    losses = model(**data, mode='loss')
    batch = model.batch(data['inputs'], data['data_samples'])
    said = model.teacher.ask(batch, ('tokens', 'logits'))
    view = model.student_view
    own = view.ask(batch, ('logits', 'maps'))
    third, fourth = own.maps[-2:]
    net = model.teacher.model
    for name, w3, w4 in (('original', 3, 4), ('alternative', 0.5, 2.5)):
        p = net.blocks[4](model.stage3.projectors[name](third))
        q = model.stage4.projectors[name](fourth, p)
        q = net.fc_norm(net.norm(net.blocks[5](q)))
        for place, weight, found in (('stage3', w3, p), ('stage4', w4, q)):
            wanted = weight * by_hand(found, said.tokens, name)
            value = losses[f'loss_{place}_{name}'].item()
            assert value == pytest.approx(wanted, rel=1e-4)
    log_s = own.logits.double().log_softmax(1)
    log_t = said.logits.double().log_softmax(1)
    ce = -(log_s[0, 0] + log_s[1, 1]).item() / 2
    soft = -(log_t.exp() * log_s).sum(1).mean().item()
    entropy = -(log_t.exp() * log_t).sum(1).mean().item()
    assert losses['loss_ce'].item() == pytest.approx(0.7 * ce, rel=1e-4)
    assert losses['loss_soft'].item() == pytest.approx(
        0.3 * (soft - entropy), rel=1e-4
    )


@pytest.mark.parametrize(
    'name, student',
    [
        *((name, None) for name in TEACHERS),
        ('vit', MIXER_STUDENT),
        ('swin', MIXER_STUDENT),
        ('vit', VIT_STUDENT),
        ('swin', VIT_STUDENT),
    ],
)
def test_one_step_of_every_kind(name, student):
    if not timm.is_model(TEACHERS[name]['model_name']):
        pytest.skip('older timm')
    model = build(student, TEACHERS[name]).train()
    depth = len(model.teacher.middles((SIZE, SIZE)))
    wanted = {12: (7, 10), 3: (1, 1), 16: (13, None)}
    if name in ('vit', 'beit', 'deep'):
        assert (model.after, model.until) == wanted[depth]
    if name == 'swin':
        assert (model.after, model.until) == (2, None)
    before, still = digests(model.student), model.teacher.digest()
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    losses = losses_of(model)
    terms = {k: v for k, v in losses.items() if 'loss' in k}
    assert {
        'loss_ce',
        'loss_soft',
        *(f'loss_stage{i}_{view}' for i in (3, 4) for view in VIEWS),
    } == {*terms}
    model.parse_losses(losses)[0].backward()
    # Nothing is unused, as DistributedDataParallel wants it.
    assert not [
        key
        for key, parameter in model.named_parameters()
        if parameter.requires_grad and parameter.grad is None
    ]
    optimizer.step()
    assert digests(model.student) != before
    assert model.teacher.digest() == still
    assert all(p.grad is None for p in model.teacher.parameters())


@pytest.mark.parametrize(
    'given, wanted',
    [
        (dict(until=10), (7, 10)),
        (dict(until=8), (7, 8)),
        (dict(after=9), (9, None)),
        (dict(after=5, until=6), (5, 6)),
    ],
)
def test_one_cut_leaves_the_other_as_documented(given, wanted):
    teacher = dict(TEACHERS['vit'], model_name='vit_tiny_patch16_224')
    model = build(teacher=teacher, **given)
    assert (model.after, model.until) == wanted


def test_gradients_reach_the_student_through_the_teacher_alone():
    off = dict(original=0.0, alternative=0.0)
    model = build(stage4=off, soft_weight=0.0, supervised_weight=0.0)
    model.train()
    losses = losses_of(model, [None] * 4)
    assert {k for k in losses if 'loss' in k} == {
        f'loss_stage3_{view}' for view in VIEWS
    }
    model.parse_losses(losses)[0].backward()
    backbone = model.student.backbone
    stem = next(backbone.parameters())
    assert stem.grad.abs().sum() > 0
    # Behind stage 3 there is nothing to learn from.
    assert model.student_view.classifier.weight.grad is None
    assert not model.stage4.projectors


def test_a_view_off_at_stage_3_is_the_query_of_stage_4_still():
    model = build(stage3=dict(alternative=0.0))
    losses = losses_of(model.train())
    assert 'loss_stage3_alternative' not in losses
    losses['loss_stage4_alternative'].backward()
    found = model.stage3.projectors['alternative'].parameters()
    assert all(p.grad is not None for p in found)


def test_drop_path_of_the_teacher_stays_off():
    teacher = dict(
        model_name='vit_tiny_patch16_224',
        depth=3,
        input_size=32,
        drop_path_rate=0.9,
    )
    model = build(teacher=teacher).train()
    x = torch.randn(2, 4, 192)
    first, second = (model.teacher.resume(x, 0, (2, 2)) for _ in range(2))
    assert torch.equal(first.tokens, second.tokens)
    assert not model.teacher.training


def test_teacher_is_in_nothing_and_the_student_is_itself():
    model = build()
    assert not [name for name in model.state_dict() if 'blocks' in name]
    other = copy.deepcopy(model)
    assert other.teacher is model.teacher
    model.eval()
    images = torch.randn(2, 3, SIZE, SIZE)
    assert torch.equal(model(images), model.student(images))


@pytest.mark.parametrize('edge', [48, 80])
def test_students_of_any_size(edge):
    model = build(size=edge).train()
    # MobileNetV3 halves five times, rounding up.
    last = -(-edge // 32)
    position = model.stage4.projectors['original'].position
    assert tuple(position.shape[2:]) == (last, last)
    assert model.parse_losses(losses_of(model, size=edge))[0] > 0


def test_blocks_of_the_student_can_be_chosen():
    model = build(MIXER_STUDENT, map_indices=(1, 3))
    seen = []
    blocks = model.student.backbone.layers
    blocks[1].register_forward_hook(lambda *args: seen.append(args[2]))
    data = model.data_preprocessor(make_batch(LABELS, size=SIZE), True)
    batch = model.batch(data['inputs'], data['data_samples'])
    maps = model.student_view.ask(batch, ('maps',)).maps
    assert len(maps) == 2
    # (N, D, h, w) -> (N, L, D)
    assert torch.equal(maps[-2].flatten(2).transpose(1, 2), seen[-1])


def test_a_teacher_at_the_size_of_the_student():
    model = build(teacher=dict(input_size=None))
    query = model.stage3.projectors['original'].queries
    assert query.weight.shape == (16, 64)
    assert model.parse_losses(losses_of(model))[0] > 0


def test_soft_labels_of_a_probe():
    probe = dict(
        loss=dict(type='CrossEntropy'),
        on=('probe.logits', 'batch.targets'),
        streams='labelled',
    )
    model = build(
        teacher=dict(num_classes=0),
        networks=dict(probe=dict(type='LinearProbe')),
        soft_labels='probe.logits',
        terms=dict(probe=probe),
    )
    assert losses_of(model.train())['loss_soft'] > 0


def test_around_a_cached_teacher():
    model = build(teacher=CachedTeacher(TINY, outputs=('tokens', 'logits')))
    model.set_stage(DISTILLATION)
    assert model.asked('teacher') == ('logits', 'tokens')
    assert model.stage3.projectors['original'].queries.weight.shape == (16, 64)


RESNET = dict(
    type='MMPretrainTeacher',
    model=dict(type='ResNet', depth=18, base_channels=8, stem_channels=8),
)
CACHED = dict(type='CachedTeacher', teacher=RESNET)
SHALLOW = dict(model_name='vit_tiny_patch16_224', depth=2, input_size=32)


@pytest.mark.parametrize(
    'options, named',
    [
        (dict(teacher=dict(model_name='resnet10t')), 'Swin.*ResNet'),
        (dict(teacher=CACHED, soft_weight=0.0), 'Swin.*MMPretrainTeacher'),
        (dict(teacher=None), 'teacher'),
        (dict(teacher=dict(num_classes=0)), 'probe'),
        (dict(teacher=dict(num_classes=3)), 'terms.soft'),
        (dict(after=5), 'after'),
        (dict(after=2, until=1), 'until'),
        (dict(teacher=TEACHERS['swin'], until=2), 'until'),
        (dict(maps='maps.1'), 'maps'),
        (dict(map_indices=(99,)), 'map_indices'),
        (dict(maps=('maps.9', 'maps.1')), 'maps.9'),
        (dict(soft_weight=1.5), 'soft_weight'),
        (dict(stage3=dict(original=-1)), 'stage3.original'),
        (dict(stage4=4.0), 'stage4'),
        (dict(stage4=dict(num_heads=5)), 'stage4'),
        (dict(stage4=dict(heads=4)), 'stage4.*heads'),
        (dict(stage3=dict(type='MLPConnector')), 'stage3.*type'),
        (dict(stage3=dict(self_query=False)), 'stage3.*self_query'),
        (dict(terms=dict(stage3_original=None)), 'terms.*stage3_original'),
        (dict(teacher=SHALLOW), 'teacher.*after=0'),
    ],
)
def test_wrong_options_are_named(options, named):
    with pytest.raises(UserError, match=named):
        build(**options)
