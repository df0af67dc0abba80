"""Linear CKA against its definition by centring matrices, and by hand."""

import numpy as np
import pytest
import torch

from mmkd_custom.analysis.similarity import linear_cka


def dense(first, second):
    """HSIC(K, L) = tr(K H L H), with the centring matrix H written out."""
    n = len(first)
    centring = np.eye(n) - np.ones((n, n)) / n

    def hsic(a, b):
        return np.trace(a @ a.T @ centring @ b @ b.T @ centring)

    return hsic(first, second) / np.sqrt(
        hsic(first, first) * hsic(second, second)
    )


@pytest.fixture
def pair():
    rng = np.random.default_rng(0)
    first = rng.normal(size=(12, 5)) + 3
    return first, first @ rng.normal(size=(5, 9)) + rng.normal(size=(12, 9))


def cka(first, second):
    return float(linear_cka(torch.tensor(first), torch.tensor(second)))


def test_is_that_of_the_definition(pair):
    assert cka(*pair) == pytest.approx(dense(*pair), abs=1e-12)
    assert 0.1 < cka(*pair) < 0.99
    assert cka(*pair) == pytest.approx(cka(*pair[::-1]), abs=1e-12)


def test_rotations_scales_and_shifts_change_nothing(pair):
    first, second = pair
    turned = np.linalg.qr(np.random.default_rng(1).normal(size=(5, 5)))[0]
    alike = -7 * first @ turned + 100
    assert cka(first, alike) == pytest.approx(1, abs=1e-12)
    assert cka(alike, second) == pytest.approx(cka(first, second), abs=1e-9)
    # Stretching one direction is no rotation.
    assert cka(first, first * [9, 1, 1, 1, 1]) < 0.99


def test_by_hand():
    line, bend = [[-1.0], [0.0], [1.0]], [[1.0], [-2.0], [1.0]]
    assert cka(line, bend) == pytest.approx(0)
    # Gram matrices xx' and xx' + yy', squared norms 4 and 4 + 36.
    both = np.concatenate([line, bend], 1)
    assert cka(line, both) == pytest.approx(2 / np.sqrt(40))


def test_a_feature_that_is_the_same_for_all_is_like_nothing():
    assert np.isnan(cka(np.ones((3, 2)), np.eye(3)))
