"""Rounds of self-distillation of kernel ridge regression."""

import pytest
import torch

from mmkd_custom.errors import UserError
from mmkd_custom.fitting.self_distillation import self_distil

FEATURES = torch.randn(
    7, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0)
)
KERNEL = FEATURES @ FEATURES.T
TARGETS = torch.eye(7, dtype=torch.float64)[:, :4]
EYE = torch.eye(7, dtype=torch.float64)


@pytest.mark.parametrize('alpha', [0.0, 0.3, 1.0])
@pytest.mark.parametrize('targets', [TARGETS, TARGETS[:, 0]])
def test_rounds_are_what_they_are_one_by_one(alpha, targets):
    ridge = torch.linalg.solve(KERNEL + 0.5 * EYE, KERNEL)
    found = ridge @ targets
    for rounds in range(4):
        said = self_distil(KERNEL, targets, alpha, 0.5, rounds)
        torch.testing.assert_close(said, found)
        found = ridge @ (alpha * targets + (1 - alpha) * found)


def test_their_limit_is_one_ridge_regression():
    alpha, ridge = 0.3, 0.5
    limit = self_distil(KERNEL, TARGETS, alpha, ridge)
    solved = alpha * KERNEL @ torch.linalg.inv(alpha * KERNEL + ridge * EYE)
    torch.testing.assert_close(limit, solved @ TARGETS)
    many = self_distil(KERNEL, TARGETS, alpha, ridge, rounds=200)
    torch.testing.assert_close(many, limit)
    # Without labels everything is forgotten.
    assert not self_distil(KERNEL, TARGETS, 0.0, ridge).any()


@pytest.mark.parametrize(
    ('options', 'named'),
    [
        (dict(alpha=1.5, ridge=1), 'alpha'),
        (dict(alpha=0.5, ridge=0), 'ridge'),
        (dict(alpha=0.5, ridge=1, targets=TARGETS[:3]), 'kernel'),
    ],
)
def test_what_cannot_be_is_named(options, named):
    with pytest.raises(UserError, match=named):
        self_distil(KERNEL, **{'targets': TARGETS, **options})
