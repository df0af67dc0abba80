import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mmkd_custom.models.losses import KLDivergence

PAIR = torch.from_numpy(5 * np.random.RandomState(0).randn(2, 4, 6))


@settings(deadline=None)
@given(scale=st.floats(1e-3, 1e3), shift=st.floats(-100, 100))
@pytest.mark.parametrize('standardize', [False, True])
def test_ignores_shifts_and_standardized_scales(standardize, scale, shift):
    loss, (student, teacher) = KLDivergence(standardize=standardize), PAIR
    scale = scale if standardize else 1.0
    expected = pytest.approx(loss(student, teacher).item(), rel=1e-7, abs=1e-9)
    assert loss(scale * student + shift, teacher).item() == expected
    assert loss(student, scale * teacher + shift).item() == expected


def test_high_temperature_is_half_the_mse_of_centred_logits():
    difference = PAIR[0] - PAIR[1]
    difference -= difference.mean(1, keepdim=True)
    assert KLDivergence(1e4)(*PAIR).item() == pytest.approx(
        difference.square().mean().item() / 2, rel=1e-3
    )


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
    loss = KLDivergence(standardize=standardize)
    assert loss(torch.tensor([[3.0], [1.0]]), torch.zeros(2, 1)) == 0
