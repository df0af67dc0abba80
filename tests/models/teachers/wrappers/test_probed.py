"""Tests of ProbedTeacher."""

from __future__ import annotations

import pytest
import torch

from mmkd_custom.errors import UserError
from mmkd_custom.models.teachers.mmpretrain.teacher import MMPretrainTeacher
from mmkd_custom.models.teachers.wrappers.base import input_summary
from mmkd_custom.models.teachers.wrappers.ensemble import EnsembleTeacher
from mmkd_custom.models.teachers.wrappers.probed import Probe, ProbedTeacher
from mmkd_custom.registry import MODELS

ARCH = dict(embed_dims=16, num_layers=2, num_heads=2, feedforward_channels=32)


def vit(**options) -> dict:
    """A teacher of a feature of width 16, with a head of 7 classes."""
    return dict(
        dict(
            type='MMPretrainTeacher',
            model=dict(
                type='ImageClassifier',
                backbone=dict(
                    type='VisionTransformer',
                    arch=ARCH,
                    img_size=32,
                    patch_size=16,
                ),
                head=dict(
                    type='VisionTransformerClsHead',
                    num_classes=7,
                    in_channels=16,
                ),
                data_preprocessor=dict(
                    mean=[120.0] * 3, std=[60.0] * 3, to_rgb=True
                ),
            ),
            input_size=32,
        ),
        **options,
    )


def build(config: dict, seed: int = 0) -> MMPretrainTeacher:
    torch.manual_seed(seed)
    return MODELS.build(config)


def make_probe(inner, path, normalization: str = 'none', **options) -> str:
    generator = torch.Generator().manual_seed(1)
    width = inner.feature_dim
    tensors = dict(
        weight=torch.randn(3, width, generator=generator),
        bias=torch.randn(3, generator=generator),
    )
    if normalization == 'standardize':
        tensors['mean'] = torch.randn(width, generator=generator)
        tensors['std'] = torch.rand(width, generator=generator) + 1
    fields = dict(
        tensors={**tensors, **options.pop('tensors', {})},
        normalization=normalization,
        classes=['cat', 'dog', 'owl'],
        teacher=inner.name,
        teacher_sha256=inner.digest(),
        feature='pooled',
        input=input_summary(inner),
    )
    Probe(**{**fields, **options}).save(path)
    return str(path)


@pytest.fixture
def images() -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (3, 3, 32, 32), generator=generator).float()


@pytest.mark.parametrize('normalization', ['none', 'l2', 'standardize'])
def test_logits_are_the_probes(images, tmp_path, normalization):
    inner = build(vit())
    path = make_probe(inner, tmp_path / 'p.safetensors', normalization)
    teacher = ProbedTeacher(inner, path)
    inputs = teacher.prepare(images)
    assert torch.equal(inputs, inner.prepare(images))
    found, plain = teacher(inputs), inner(inputs)
    stored = Probe.load(path).tensors
    feature = plain.feature.double()
    if normalization == 'l2':
        feature = feature / feature.square().sum(1, keepdim=True).sqrt()
    elif normalization == 'standardize':
        feature = (feature - stored['mean']) / stored['std']
    wanted = feature @ stored['weight'].double().T + stored['bias']
    assert torch.allclose(found.logits.double(), wanted, atol=1e-5)
    assert torch.equal(found.feature, plain.feature)
    assert teacher.num_classes == 3 and plain.logits.shape == (3, 7)
    assert teacher.classes == ('cat', 'dog', 'owl')


def test_offers_what_the_other_offers(images, tmp_path, monkeypatch):
    inner = build(vit())
    teacher = ProbedTeacher(inner, make_probe(inner, tmp_path / 'p'))
    assert teacher.offers == inner.offers
    assert teacher.dims == {**inner.dims, 'logits': (3,)}
    assert teacher.feature_dim == 16
    inputs = teacher.prepare(images)
    asked = []
    encode = inner._encode
    monkeypatch.setattr(
        inner,
        '_encode',
        lambda inputs, wants: asked.append(wants) or encode(inputs, wants),
    )
    for wants, within in (
        (('tokens',), ('tokens',)),
        (('logits',), ('feature',)),
        (('feature', 'maps'), ('feature', 'maps')),
    ):
        found = teacher(inputs, wants)
        assert asked.pop() == within and not asked
        assert {n.split('.')[0] for n in found.named_tensors()} == set(wants)
    assert teacher(inputs, ('tokens',)).grid == (2, 2)


def test_headless_teacher_gets_logits(images, tmp_path):
    inner = build(vit(model=vit()['model']['backbone']))
    assert 'logits' not in inner.offers
    teacher = ProbedTeacher(inner, make_probe(inner, tmp_path / 'p'))
    assert teacher.offers == ('feature', 'logits', 'tokens', 'maps')
    assert teacher(teacher.prepare(images)).logits.shape == (3, 3)


def test_standardising_changes_the_feature_and_not_the_logits(
    images, tmp_path
):
    inner = build(vit())
    teacher = ProbedTeacher(inner, make_probe(inner, tmp_path / 'p'))
    inputs = teacher.prepare(images)
    before = teacher(inputs)
    mean, std = torch.rand(2, 16) + 0.5
    teacher.standardize(mean, std)
    after = teacher(inputs)
    assert torch.equal(after.logits, before.logits)
    assert torch.allclose(after.feature, (before.feature - mean) / std)
    assert torch.equal(inner(inputs).feature, before.feature)


def test_options_of_the_other(images, tmp_path):
    # A probe belongs to the rounded weights.
    half = build(vit(dtype='bfloat16'))
    path = make_probe(half, tmp_path / 'p')
    torch.manual_seed(0)
    teacher = MODELS.build(
        dict(
            type='ProbedTeacher',
            teacher=vit(max_batch=4),
            probe=path,
            dtype='bfloat16',
            channels_last=False,
            max_batch=2,
        )
    )
    assert {p.dtype for p in teacher.parameters()} == {torch.bfloat16}
    assert teacher.dtype == torch.bfloat16 and teacher.max_batch == 2
    # The probe itself is as it was stored.
    assert torch.equal(
        teacher.probe_weight, Probe.load(path).tensors['weight']
    )
    sizes = []
    teacher.teacher.model.register_forward_pre_hook(
        lambda *_: pytest.fail('the classifier itself is not called')
    )
    teacher.teacher.model.backbone.register_forward_pre_hook(
        lambda _module, args: sizes.append(len(args[0]))
    )
    output = teacher(teacher.prepare(images))
    assert sizes == [2, 1]
    assert output.logits.dtype == torch.float32


def test_digest_covers_both(tmp_path):
    inner = build(vit())
    paths = [
        make_probe(inner, tmp_path / 'a'),
        make_probe(inner, tmp_path / 'b', 'l2'),
        make_probe(inner, tmp_path / 'c', 'standardize'),
        make_probe(inner, tmp_path / 'd', tensors=dict(bias=torch.zeros(3))),
    ]
    digests = {ProbedTeacher(inner, path).digest() for path in paths}
    assert len(digests | {inner.digest()}) == 5
    teacher = ProbedTeacher(inner, paths[0])
    before = teacher.digest()
    assert before in digests
    next(teacher.parameters()).data.view(-1)[0] += 1
    assert teacher.digest() != before
    assert before[:12] not in teacher.describe()
    assert '3 classes' in teacher.describe() and paths[0] in teacher.weights


def test_frozen(images, tmp_path):
    inner = build(vit())
    teacher = ProbedTeacher(inner, make_probe(inner, tmp_path / 'p'))
    teacher.train()
    assert not any(m.training for m in teacher.modules())
    projection = torch.nn.Linear(3, 2)
    projection(teacher(teacher.prepare(images)).logits).sum().backward()
    assert projection.weight.grad.abs().sum() > 0


def test_what_a_teacher_of_an_ensemble_sees_is_said(tmp_path, log_lines):
    def build_both(size: int) -> EnsembleTeacher:
        return EnsembleTeacher(
            [build(vit()), build(vit(input_size=size), seed=1)]
        )

    both = build_both(48)
    path = make_probe(both, tmp_path / 'p', feature=both.feature)
    for size in (48, 64):
        ProbedTeacher(build_both(size), path)
    (line,) = [line for line in log_lines if 'was fitted to' in line]
    assert '48x48' in line and '64x64' in line


def test_ensemble_of_probed_teachers(images, tmp_path):
    # Of other sizes and normalisations of the feature.
    members = []
    for seed, size, normalization in ((0, 32, 'l2'), (1, 48, 'standardize')):
        inner = build(vit(input_size=size), seed)
        path = make_probe(inner, tmp_path / str(seed), normalization)
        members.append(ProbedTeacher(inner, path))
    teacher = EnsembleTeacher(members, weights=[1, 3])
    assert teacher.classes == ('cat', 'dog', 'owl')
    mean, std = (100.0, 110.0, 120.0), (50.0, 55.0, 60.0)
    alone = [m(m.prepare(images, mean, std)) for m in members]
    p = [output.logits.softmax(1) for output in alone]
    # The probes see the features as they were.
    teacher.standardize(torch.rand(32), torch.rand(32) + 0.5)
    output = teacher(teacher.prepare(images, mean, std))
    wanted = 0.25 * p[0] + 0.75 * p[1]
    assert torch.allclose(output.logits.softmax(1), wanted, atol=1e-5)
    joint = torch.cat([o.feature for o in alone], 1)
    joint = (joint - teacher.feature_mean) / teacher.feature_std
    assert torch.allclose(output.feature, joint, atol=1e-4)


def test_a_file_that_does_not_fit_is_refused(tmp_path):
    # Before the teacher is built, which may take long.
    with pytest.raises(UserError) as error:
        ProbedTeacher(dict(type='Nothing'), str(tmp_path / 'nowhere'))
    assert 'nowhere' in str(error.value)
    inner = build(vit())
    path = make_probe(inner, tmp_path / 'p')
    assert ProbedTeacher(inner, path, num_classes=3).num_classes == 3
    with pytest.raises(UserError) as error:
        ProbedTeacher(inner, path, num_classes=5)
    assert 'num_classes' in str(error.value)
