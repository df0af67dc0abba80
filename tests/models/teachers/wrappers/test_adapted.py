"""An adapted teacher is the other one with the stored change, and a head."""

import pytest
import torch

from mmkd_custom.errors import UserError
from mmkd_custom.models.teachers.timm.teacher import TimmTeacher
from mmkd_custom.models.teachers.wrappers.adapted import (
    Adaptation,
    AdaptedTeacher,
)
from mmkd_custom.models.teachers.wrappers.base import feature_name

VIT = dict(type='mmkd_custom.TimmTeacher', model_name='test_vit')


def build(**options):
    """The un-adapted teacher, the same at every call."""
    torch.manual_seed(0)
    options = dict(VIT, **options)
    del options['type']
    return TimmTeacher(**options)


@pytest.fixture
def weights(tmp_path):
    """Config of a teacher with weights of its own, on disk."""
    path = tmp_path / 'vit.pth'
    torch.save(build().model.state_dict(), path)
    return dict(VIT, checkpoint=str(path))


@pytest.fixture
def stored(tmp_path, weights):
    """Writes an adaptation of that teacher's norm layers."""

    def write(num_classes=3, width=64, seed=0, **changes):
        teacher = build()
        torch.manual_seed(seed)
        tensors = {
            f'norm/{name}': torch.randn_like(parameter)
            for name, parameter in teacher.named_parameters()
            if 'norm' in name
        }
        tensors['head.weight'] = torch.randn(num_classes, width)
        tensors['head.bias'] = torch.randn(num_classes)
        facts = dict(
            mode='norm',
            teacher=teacher.name,
            teacher_sha256=teacher.digest(),
            classes=[f'class {i}' for i in range(num_classes)],
            feature=feature_name(teacher),
        )
        path = tmp_path / 'adapted.safetensors'
        adaptation = Adaptation(tensors=tensors, **{**facts, **changes})
        adaptation.save(path)
        return str(path), adaptation

    return write


def test_it_is_the_other_teacher_with_the_stored_values(weights, stored):
    path, adaptation = stored()
    teacher = AdaptedTeacher(weights, path)
    reference = build()
    with torch.no_grad():
        for name, parameter in reference.named_parameters():
            if f'norm/{name}' in adaptation.tensors:
                parameter.copy_(adaptation.tensors[f'norm/{name}'])
    images = torch.rand(2, 3, 40, 56) * 255
    inputs = teacher.prepare(images)
    assert torch.equal(inputs, reference.prepare(images))
    output = teacher(inputs)
    feature = reference(inputs, ('feature',)).feature
    assert torch.equal(output.feature, feature)
    expected = (
        feature.double() @ adaptation.tensors['head.weight'].double().T
        + adaptation.tensors['head.bias'].double()
    )
    torch.testing.assert_close(
        output.logits.double(), expected, rtol=1e-5, atol=1e-5
    )


def test_what_it_says_of_itself(weights, stored):
    path, _ = stored()
    teacher, other = AdaptedTeacher(weights, path), build()
    for name in ('mean', 'std', 'input_size', 'feature_dim'):
        assert getattr(teacher, name) == getattr(other, name)
    assert set(teacher.offers) == {*other.offers, 'logits'}
    assert teacher.num_classes == 3 and teacher.dims['logits'] == (3,)
    assert teacher.dims['feature'] == (other.feature_dim,)
    assert feature_name(teacher) == feature_name(other)
    assert teacher.classes == ('class 0', 'class 1', 'class 2')
    assert teacher.digest() != other.digest()
    text = teacher.describe()
    assert 'norm-adapted' in text and path in text and '3 classes' in text
    path, _ = stored(seed=1)
    assert AdaptedTeacher(weights, path).digest() != teacher.digest()


def test_it_is_frozen(weights, stored):
    teacher = AdaptedTeacher(weights, stored()[0])
    teacher.train()
    assert not any(module.training for module in teacher.modules())
    assert not any(p.requires_grad for p in teacher.parameters())
    output = teacher(torch.randn(1, 3, *teacher.input_size))
    assert not output.logits.requires_grad


def test_standardising_changes_the_feature_and_not_the_logits(weights, stored):
    teacher = AdaptedTeacher(weights, stored()[0])
    inputs = torch.randn(2, 3, *teacher.input_size)
    before = teacher(inputs)
    mean, std = torch.rand(2, teacher.feature_dim) + 0.5
    teacher.standardize(mean, std)
    after = teacher(inputs)
    assert torch.equal(after.logits, before.logits)
    torch.testing.assert_close(after.feature, (before.feature - mean) / std)


def test_no_random_number_is_drawn_for_the_head(weights, stored):
    path, _ = stored()
    torch.manual_seed(3)
    build_state = (
        TimmTeacher('test_vit', checkpoint=weights['checkpoint'])
        and torch.get_rng_state()
    )
    torch.manual_seed(3)
    AdaptedTeacher(weights, path)
    assert torch.equal(torch.get_rng_state(), build_state)


def test_how_it_runs_is_the_other_teachers_unless_it_is_given(weights, stored):
    path, _ = stored()
    teacher = AdaptedTeacher(dict(weights, dtype='bfloat16'), path)
    assert teacher.dtype == torch.bfloat16
    assert {p.dtype for p in teacher.parameters()} == {torch.bfloat16}
    # Whatever the dtype, it is the same adaptation of the same weights.
    inputs = torch.randn(2, 3, *teacher.input_size)
    exact = AdaptedTeacher(weights, path)(inputs).feature
    near = teacher(inputs).feature
    assert near.dtype == torch.float32
    torch.testing.assert_close(near, exact, rtol=0.1, atol=0.1)
    other = AdaptedTeacher(
        dict(weights, dtype='bfloat16'),
        path,
        dtype='float32',
        max_batch=1,
        channels_last=False,
    )
    assert other.dtype == torch.float32 and other.max_batch == 1
    assert other.memory_format == torch.contiguous_format
    torch.testing.assert_close(
        other(inputs).feature, exact, rtol=1e-5, atol=1e-5
    )


@pytest.mark.parametrize(
    'teacher, named',
    [
        (build(), 'TimmTeacher'),
        (dict(type='mmpretrain.ResNet', depth=18), 'ResNet'),
        (
            dict(
                type='EnsembleTeacher', teachers=[dict(VIT, dtype='float16')]
            ),
            'float16',
        ),
    ],
)
def test_what_cannot_be_adapted_is_refused(teacher, named, stored):
    with pytest.raises(UserError) as error:
        AdaptedTeacher(teacher, stored()[0])
    assert named in str(error.value)


def test_an_adaptation_of_others_is_refused(weights, stored):
    with pytest.raises(UserError) as error:
        AdaptedTeacher(weights, stored()[0], num_classes=5)
    assert 'num_classes' in str(error.value)
