"""What every loss promises."""

import pytest
import torch

from mmkd_custom.errors import UserError
from mmkd_custom.models import losses
from mmkd_custom.registry import MODELS

CONFIGS = [
    dict(type='MSE'),
    dict(type='MSE', normalize=True),
    dict(type='MSE'),
    dict(type='KLDivergence'),
    dict(type='KLDivergence', temperature=1.0),
    dict(type='KLDivergence', standardize=True),
    dict(type='DKD'),
]


def _name(cfg):
    return '-'.join(str(value) for value in cfg.values())


@pytest.fixture(params=CONFIGS, ids=_name)
def loss(request):
    return MODELS.build(request.param)


def _pair(samples=5, classes=7, dtype=torch.float64, seed=0, scale=3.0):
    generator = torch.Generator().manual_seed(seed)
    student, teacher = scale * torch.randn(
        2, samples, classes, generator=generator, dtype=torch.float64
    )
    return student.to(dtype), teacher.to(dtype)


def test_every_public_loss_is_registered():
    assert {cfg['type'] for cfg in CONFIGS} == set(losses.__all__)
    for name in losses.__all__:
        assert MODELS.get(f'mmkd_custom.{name}') is getattr(losses, name)


def test_is_a_positive_scalar_without_parameters(loss):
    value = loss(*_pair())
    assert value.shape == ()
    assert value.dtype == torch.float64
    assert value > 0
    assert not list(loss.parameters())
    assert not loss.state_dict()


def test_is_zero_when_the_student_is_the_teacher(loss):
    student, _ = _pair()
    assert loss(student, student.clone()) == 0


def test_gradients_of_both_sides(loss):
    student, teacher = _pair(3, 4)
    assert torch.autograd.gradcheck(
        loss, (student.requires_grad_(), teacher.requires_grad_())
    )


def test_gradient_is_zero_when_the_student_is_the_teacher(loss):
    student, _ = _pair()
    teacher = student.clone()
    loss(student.requires_grad_(), teacher).backward()
    torch.testing.assert_close(
        student.grad, torch.zeros_like(student), rtol=0, atol=1e-12
    )


def test_is_the_mean_over_samples(loss):
    student, teacher = _pair()
    single = [loss(s[None], t[None]) for s, t in zip(student, teacher)]
    torch.testing.assert_close(
        loss(student, teacher), torch.stack(single).mean()
    )


def test_an_empty_batch_costs_nothing(loss):
    student = torch.zeros(0, 4, requires_grad=True)
    value = loss(student, torch.zeros(0, 4))
    value.backward()
    assert value == 0
    assert student.grad.shape == (0, 4)


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
def test_half_precision_is_computed_in_float32(loss, dtype):
    student, teacher = _pair(dtype=dtype)
    value = loss(student, teacher)
    assert value.dtype == torch.float32
    torch.testing.assert_close(
        value.double(),
        loss(student.double(), teacher.double()),
        rtol=1e-5,
        atol=0,
    )


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
def test_finite_under_autocast_for_huge_values(loss, dtype):
    student, teacher = _pair(dtype=dtype, scale=1.0)
    student, teacher = 1e4 * student.sign(), 1e4 * teacher.sign()
    student.requires_grad_()
    with torch.autocast('cpu', dtype=dtype):
        value = loss(student, teacher)
    value.backward()
    assert value.dtype == torch.float32
    assert value.isfinite()
    assert student.grad.isfinite().all()
    reference = loss(student.detach().double(), teacher.double())
    torch.testing.assert_close(value.double(), reference, rtol=1e-5, atol=0)


@pytest.mark.parametrize('teacher', [(4, 6), (3, 5), (4,), (4, 5, 1)])
def test_shapes_that_differ_are_named(loss, teacher):
    with pytest.raises(UserError) as error:
        loss(torch.zeros(4, 5), torch.zeros(teacher))
    for word in (type(loss).__name__, '(4, 5)', str(teacher)):
        assert word in str(error.value)


def test_feature_maps_are_refused(loss):
    feature = torch.zeros(2, 3, 4, 4)
    with pytest.raises(UserError, match=r'\(2, 3, 4, 4\)'):
        loss(feature, feature)


@pytest.mark.parametrize('name', ['KLDivergence', 'DKD'])
@pytest.mark.parametrize(
    'temperature', [0, -1.0, float('inf'), float('nan'), 'warm', True, None]
)
def test_a_temperature_that_is_none_is_named(name, temperature):
    with pytest.raises(UserError) as error:
        MODELS.build(dict(type=name, temperature=temperature))
    assert f'temperature={temperature!r}' in str(error.value)
    assert name in str(error.value)


def test_a_repr_says_the_options():
    assert 'normalize=True' in repr(losses.MSE(True))
    assert 'temperature=2.0' in repr(losses.KLDivergence(2))
    assert 'beta=3' in repr(losses.DKD(beta=3))
