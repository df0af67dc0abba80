import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from mmkd_custom.models.losses import KLDivergence

LOGITS = arrays(
    np.float64, (2, 3, 5), elements=st.floats(-30, 30, allow_nan=False)
)
SPREAD = arrays(
    np.float64,
    (2, 3, 5),
    elements=st.integers(-50, 50).map(float),
    unique=True,
)


def _softmax(logits):
    exponential = np.exp(logits - logits.max(1, keepdims=True))
    return exponential / exponential.sum(1, keepdims=True)


def _reference(student, teacher, temperature):
    p_t = _softmax(teacher / temperature)
    p_s = _softmax(student / temperature)
    return temperature**2 * np.mean(
        np.sum(p_t * (np.log(p_t) - np.log(p_s)), 1)
    )


def _loss(student, teacher, **kwargs):
    return KLDivergence(**kwargs)(
        torch.tensor(student), torch.tensor(teacher)
    ).item()


@pytest.mark.parametrize('temperature', [0.5, 1.0, 4.0])
@settings(deadline=None)
@given(logits=LOGITS)
def test_matches_the_definition(temperature, logits):
    student, teacher = logits
    assert _loss(student, teacher, temperature=temperature) == pytest.approx(
        _reference(student, teacher, temperature), rel=1e-9, abs=1e-9
    )


def test_by_hand():
    # softmax: teacher (3/4, 1/4), student (1/2, 1/2)
    wanted = 0.75 * np.log(1.5) + 0.25 * np.log(0.5)
    assert _loss(
        [[0.0, 0.0]], [[np.log(3.0), 0.0]], temperature=1.0
    ) == pytest.approx(wanted, rel=1e-6)


def test_the_default_temperature():
    student, teacher = np.random.RandomState(0).randn(2, 4, 6)
    assert _loss(student, teacher) == pytest.approx(
        _reference(student, teacher, 4.0), rel=1e-12
    )


@settings(deadline=None)
@given(
    logits=LOGITS, shifts=st.tuples(st.floats(-100, 100), st.floats(-100, 100))
)
def test_is_not_negative_and_ignores_shifts(logits, shifts):
    student, teacher = logits
    loss = _loss(student, teacher)
    assert loss >= -1e-12
    assert _loss(student + shifts[0], teacher + shifts[1]) == pytest.approx(
        loss, rel=1e-7, abs=1e-9
    )


def test_goes_to_the_mse_of_centred_logits_at_high_temperature():
    student, teacher = np.random.RandomState(0).randn(2, 4, 6)
    difference = student - teacher
    difference -= difference.mean(1, keepdims=True)
    assert _loss(student, teacher, temperature=1e4) == pytest.approx(
        np.mean(difference**2) / 2, rel=1e-3
    )


def _z_score(logits):
    return (logits - logits.mean(1, keepdims=True)) / logits.std(
        1, keepdims=True
    )


@settings(deadline=None)
@given(logits=SPREAD)
def test_standardized_matches_the_definition(logits):
    student, teacher = logits
    assert _loss(
        student, teacher, temperature=2.0, standardize=True
    ) == pytest.approx(
        _reference(_z_score(student), _z_score(teacher), 2.0),
        rel=1e-9,
        abs=1e-12,
    )


@settings(deadline=None)
@given(logits=SPREAD, scale=st.floats(1e-3, 1e3), shift=st.floats(-100, 100))
def test_standardized_ignores_affine_changes(logits, scale, shift):
    student, teacher = logits
    wanted = pytest.approx(
        _loss(student, teacher, standardize=True), rel=1e-7, abs=1e-9
    )
    assert _loss(scale * student + shift, teacher, standardize=True) == wanted
    assert _loss(student, scale * teacher + shift, standardize=True) == wanted


def test_standardized_changes_when_the_order_is_reversed():
    student, teacher = np.random.RandomState(0).randn(2, 4, 6)
    assert (
        abs(
            _loss(-student, teacher, standardize=True)
            - _loss(student, teacher, standardize=True)
        )
        > 1e-3
    )


@pytest.mark.parametrize('value', [0.0, 0.1, 12345.678])
def test_constant_logits_are_uniform_predictions(value):
    student = torch.full((2, 10), value, requires_grad=True)
    teacher = torch.arange(20, dtype=torch.float32).view(2, 10)
    loss = KLDivergence(standardize=True)(student, teacher)
    loss.backward()
    wanted = _reference(
        np.zeros((2, 10)), _z_score(teacher.double().numpy()), 4.0
    )
    assert loss.item() == pytest.approx(wanted, rel=1e-5)
    assert student.grad.isfinite().all()
    assert student.grad.abs().max() < 10


@pytest.mark.parametrize('standardize', [False, True])
def test_a_single_class_has_nothing_to_say(standardize):
    assert _loss([[3.0], [1.0]], [[0.0], [2.0]], standardize=standardize) == 0


def test_the_target_does_not_matter():
    student, teacher = torch.eye(3), torch.ones(3, 3)
    loss = KLDivergence()
    assert loss(student, teacher, torch.tensor([0, 1, -1])) == loss(
        student, teacher
    )
