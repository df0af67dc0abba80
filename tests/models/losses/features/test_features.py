"""What the losses of features and tokens promise beyond the contract."""

import pytest
import torch

from mmkd_custom.errors import UserError
from mmkd_custom.models.losses import MSE, MaskedMSE, SpecMatch, TokenRelation
from mmkd_custom.models.outputs import Shape


def test_normalized_mse_ignores_the_scale_of_each_sample():
    student, teacher = torch.randn(2, 6, 9, dtype=torch.float64)
    scale = torch.linspace(0.1, 50, 6)[:, None]
    loss = MSE(normalize=True)
    assert loss(scale * student, teacher).item() == pytest.approx(
        loss(student, teacher).item(), rel=1e-12
    )


def test_a_dead_feature_has_a_gradient_that_float16_holds():
    student = torch.zeros(64, 576, dtype=torch.float16, requires_grad=True)
    teacher = torch.randn(64, 576, generator=torch.Generator().manual_seed(0))
    MSE(normalize=True)(student, teacher).backward()
    assert student.grad.isfinite().all()
    assert student.grad.abs().sum() > 0


def test_sides_of_mixed_precision():
    student = torch.full((2, 3), 2, dtype=torch.float16)
    assert MSE()(student, torch.zeros(2, 3)) == 4


@pytest.mark.parametrize('size', [(9,), (4, 9), (9, 2, 3)], ids=str)
def test_relative_mse_is_the_share_that_is_not_explained(size):
    torch.manual_seed(0)
    target = torch.randn(6, *size, dtype=torch.float64)
    dims = (0, 1) if len(size) == 2 else (0, 2, 3)[: len(size)]
    mean = target.mean(dims, keepdim=True).expand_as(target)
    loss = MSE(relative=True)
    assert loss(mean, target).item() == pytest.approx(1, rel=1e-12)
    half = loss(mean + (target - mean) / 2, target).item()
    assert half == pytest.approx(0.25, rel=1e-12)
    # Another unit and origin of the target change nothing.
    moved = 300 * target - 7
    assert loss(300 * mean - 7, moved).item() == pytest.approx(1, rel=1e-12)


@pytest.mark.parametrize('dtype', [torch.float32, torch.float16])
def test_relative_mse_of_a_target_that_does_not_vary(dtype):
    for target in (torch.randn(1, 9), torch.full((6, 9), 0.1)):
        student = torch.randn_like(target).to(dtype).requires_grad_()
        loss = MSE(relative=True)(student, target.to(dtype))
        assert loss == MSE()(student, target.to(dtype))
        loss.backward()
        assert student.grad.isfinite().all()


def test_directions_that_are_far_behind_weigh_more():
    # Two directions with errors 1 and 0.01; eps = 0 but for rounding.
    student = torch.tensor([[1.0, 0.1], [-1.0, -0.1]], dtype=torch.float64)
    student.requires_grad_()
    teacher = torch.zeros_like(student)
    loss = SpecMatch(eps=1e-30)(student, teacher)
    assert loss.item() == pytest.approx(0.607722, abs=1e-6)
    loss.backward()
    plain = student.detach().clone().requires_grad_()
    MSE()(plain, teacher).backward()
    weights = student.grad / plain.grad
    for row in weights.tolist():
        assert row == pytest.approx([0.333333, 7.181449], abs=1e-6)


def test_exponent_one_is_the_squared_error():
    student, teacher = torch.randn(2, 6, 9, dtype=torch.float64)
    assert SpecMatch(beta=1)(student, teacher).item() == pytest.approx(
        MSE()(student, teacher).item(), rel=1e-12
    )


@pytest.mark.parametrize('heads', [1, 2])
def test_relations_do_not_see_a_rotation_within_heads(heads):
    torch.manual_seed(0)
    student = torch.randn(3, 5, 8, dtype=torch.float64)
    teacher = torch.randn(3, 5, 6, dtype=torch.float64)
    parts = torch.randn(heads, 8 // heads, 8 // heads, dtype=torch.float64)
    rotation = torch.block_diag(*torch.linalg.qr(parts).Q)
    loss = TokenRelation(heads)
    assert loss(student @ rotation, teacher).item() == pytest.approx(
        loss(student, teacher).item(), rel=1e-10
    )
    assert loss(student @ rotation, student) < 1e-12
    shuffled = student[:, torch.tensor([1, 0, 2, 3, 4])]
    assert loss(shuffled, teacher).item() != pytest.approx(
        loss(student, teacher).item(), rel=1e-3
    )


def test_heads_that_do_not_divide_a_width_are_refused():
    loss = TokenRelation(heads=3)
    loss.check(Shape((4, 6)), Shape((4, 9)))
    with pytest.raises(UserError) as error:
        loss.check(Shape((4, 6)), Shape((4, 8)))
    for word in ('3', '(4, 6)', '(4, 8)'):
        assert word in str(error.value)


def test_no_mask_learns_to_hide_an_error():
    """The student learns by given masks, masks by their diversity alone."""
    torch.manual_seed(0)
    student, teacher = torch.randn(2, 3, 9, 6, dtype=torch.float64)
    student.requires_grad_()
    loss = MaskedMSE(diversity=0)
    loss(student, teacher).backward()
    assert loss.vectors.grad.abs().max() == 0 < student.grad.abs().max()
    weighted, student.grad = student.grad, None
    loss.diversity = 1.0
    loss(student, teacher).backward()
    assert loss.vectors.grad.abs().max() > 0
    torch.testing.assert_close(student.grad, weighted)
    # Each error is made smaller: no place moves away from the teacher.
    assert (weighted * (student - teacher) >= 0).all()
