"""What the losses of features and tokens promise beyond the contract."""

import pytest
import torch

from mmkd_custom.errors import UserError
from mmkd_custom.models.losses import MSE, TokenRelation
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
