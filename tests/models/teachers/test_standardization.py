"""Axes of a teacher's feature: the principal ones, and what applies them."""

import pytest
import torch

from mmkd_custom.errors import UserError
from mmkd_custom.models.teachers.standardization import (
    checked_statistics,
    hadamard,
    principal_basis,
    standardize,
)


def test_principal_directions():
    torch.manual_seed(0)
    scales = torch.tensor([0.1, 5, 1, 0], dtype=torch.float64)
    x = torch.randn(50, 4, dtype=torch.float64) * scales
    x = x @ torch.linalg.qr(torch.randn(4, 4, dtype=torch.float64)).Q
    covariance = torch.cov(x.T, correction=0)
    basis, variances = principal_basis(covariance)
    torch.testing.assert_close(basis.T @ basis, torch.eye(4).double())
    # Diagonal along them, most variance first, and no sign left to chance.
    torch.testing.assert_close(
        basis.T @ covariance @ basis, variances.diag(), atol=1e-12, rtol=0
    )
    assert (variances.diff() <= 0).all() and variances.min() >= 0
    assert (basis.max(0)[0] >= -basis.min(0)[0]).all()


def test_a_rotation_is_exact_under_autocast():
    torch.manual_seed(0)
    feature, mean = torch.randn(6, 8), torch.randn(8)
    basis = torch.linalg.qr(torch.randn(8, 8)).Q
    std = torch.full((8,), 0.25)
    expected = ((feature - mean).double() @ basis.double()) / 0.25
    with torch.autocast('cpu', dtype=torch.bfloat16):
        value = standardize(feature, mean, std, basis)
    torch.testing.assert_close(value.double(), expected, rtol=1e-5, atol=1e-5)


def test_a_basis_of_another_width_is_named():
    ones = torch.ones(3)
    with pytest.raises(UserError) as error:
        checked_statistics('dino', 3, ones, ones, torch.eye(2))
    for word in ('dino', 'basis', '(3, 3)', '(2, 2)'):
        assert word in str(error.value)


@pytest.mark.parametrize('width', [1, 2, 4, 12, 20, 384, 1152])
def test_a_hadamard_matrix_is_orthonormal_of_equal_sizes(width):
    matrix = hadamard(width)
    torch.testing.assert_close(
        matrix @ matrix.T, torch.eye(width, dtype=torch.float64)
    )
    torch.testing.assert_close(
        matrix.abs(), torch.full_like(matrix, width**-0.5)
    )


def test_phi_s_gives_each_dimension_variance_one():
    # cov diag(4, 0): phi = sqrt(2), output covariance of ones.
    covariance = torch.diag(torch.tensor([4.0, 0.0], dtype=torch.float64))
    basis, variances = principal_basis(covariance)
    phi = variances.mean().sqrt()
    assert phi.item() == pytest.approx(2**0.5)
    axes = basis @ hadamard(2).T / phi
    found = axes.T @ covariance @ axes
    torch.testing.assert_close(
        found.abs(), torch.ones(2, 2, dtype=torch.float64)
    )
    assert found.diagonal().tolist() == pytest.approx([1, 1])


@pytest.mark.parametrize('width', [3, 6, 28, 92])
def test_no_matrix_is_made_up_where_none_is_known(width):
    assert hadamard(width) is None
