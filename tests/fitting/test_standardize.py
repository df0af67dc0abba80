"""Tests of standardising each domain by itself."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from mmkd_custom.errors import UserError
from mmkd_custom.fitting import standardize
from mmkd_custom.fitting.standardize import standardized


@pytest.mark.parametrize('dtype', [torch.float16, torch.float32])
def test_each_group_by_its_own_statistics(dtype, monkeypatch):
    monkeypatch.setattr(standardize, '_ROWS', 7)
    generator = torch.Generator().manual_seed(0)
    groups = torch.arange(60) % 3 * 5 - 1
    features = torch.randn(60, 4, generator=generator) + groups[:, None]
    features = (features * torch.tensor([1.0, 5.0, 0.2, 0.001])).to(dtype)
    found = standardized(features, groups)
    assert found.dtype == torch.float32
    x = features.double().numpy()
    for group in (-1, 4, 9):
        rows = x[groups == group]
        # A dimension that hardly varies counts less.
        std = np.maximum(rows.std(0), 0.1 * rows.std(0).mean())
        np.testing.assert_allclose(
            found[groups == group], (rows - rows.mean(0)) / std, atol=1e-4
        )


def test_a_group_of_equal_features_is_zero():
    features = torch.tensor([[1.0, 2], [1, 2], [5, 5], [0, 1], [2, 0]])
    found = standardized(features, torch.tensor([0, 0, 7, 1, 1]))
    assert (found[:3] == 0).all()
    assert torch.isfinite(found).all() and (found[3:] != 0).all()


def test_numbers_that_are_not_finite():
    features = torch.ones(4, 2)
    features[3, 1] = float('inf')
    with pytest.raises(UserError) as error:
        standardized(features, torch.tensor([0, 0, 1, 1]))
    assert 'features' in str(error.value) and '1' in str(error.value)
