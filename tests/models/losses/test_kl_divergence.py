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


def _loss(student, teacher, **options):
    return KLDivergence(**options)(
        torch.as_tensor(student), torch.as_tensor(teacher)
    ).item()


def test_value_by_hand():
    # softmax: teacher (3/4, 1/4), student (1/2, 1/2)
    expected = 0.75 * np.log(1.5) + 0.25 * np.log(0.5)
    assert _loss(
        [[0.0, 0.0]], [[np.log(3.0), 0.0]], temperature=1.0
    ) == pytest.approx(expected, rel=1e-6)


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


def test_high_temperature_is_half_the_mse_of_centred_logits():
    student, teacher = np.random.RandomState(0).randn(2, 4, 6)
    difference = student - teacher
    difference -= difference.mean(1, keepdims=True)
    assert _loss(student, teacher, temperature=1e4) == pytest.approx(
        np.mean(difference**2) / 2, rel=1e-3
    )


@settings(deadline=None)
@given(logits=SPREAD, scale=st.floats(1e-3, 1e3), shift=st.floats(-100, 100))
def test_standardized_ignores_affine_changes(logits, scale, shift):
    student, teacher = logits
    expected = pytest.approx(
        _loss(student, teacher, standardize=True), rel=1e-7, abs=1e-9
    )
    for pair in (
        (scale * student + shift, teacher),
        (student, scale * teacher + shift),
    ):
        assert _loss(*pair, standardize=True) == expected


@pytest.mark.parametrize('value', [0.0, 0.1, 12345.678])
def test_standardized_constant_logits_are_uniform_predictions(value):
    student = torch.full((2, 10), value, requires_grad=True)
    teacher = torch.arange(20, dtype=torch.float32).view(2, 10)
    loss = KLDivergence(standardize=True)(student, teacher)
    loss.backward()
    z = (np.arange(10) - 4.5) / np.arange(10).std() / 4
    p = np.exp(z) / np.exp(z).sum()
    assert loss.item() == pytest.approx(
        16 * np.sum(p * np.log(10 * p)), rel=1e-5
    )
    assert student.grad.isfinite().all()
    assert student.grad.abs().max() < 10


@pytest.mark.parametrize('standardize', [False, True])
def test_a_single_class_costs_nothing(standardize):
    assert _loss([[3.0], [1.0]], [[0.0], [2.0]], standardize=standardize) == 0
