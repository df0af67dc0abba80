"""Tests of the graph of neighbours and of what moves along it."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse

from mmkd_custom.fitting.graph import diffuse, graph_of, normalized


def chain():
    weights = np.array([[0, 1, 0], [1, 0, 1], [0, 1, 0]], dtype=float)
    return normalized(sparse.csr_matrix(weights))


@pytest.mark.parametrize('steps', [None, 60])
def test_the_limit_of_a_chain(steps):
    """(I − αS) z = y, of docs/methods.md."""
    seeds = np.array([[1.0], [0], [0]])
    found = diffuse(chain(), seeds, 0.3, steps) / 0.7
    wanted = [1.049451, 0.233112, 0.049451]
    np.testing.assert_allclose(found[:, 0], wanted, atol=1e-6)


def test_two_steps_by_hand():
    # S has 1 / sqrt(2) between neighbours of the chain.
    root, start = 0.5**0.5, np.array([[1.0, 0], [0, 1], [0, 1]])
    first = np.array([[0.5, root / 2], [root / 2, 0.5 + root / 2], [0, 0]])
    first[2] = [0, 0.5 + root / 2]
    np.testing.assert_allclose(diffuse(chain(), start, 0.5, 1), first)
    second = start / 2 + root / 2 * np.array(
        [first[1], first[0] + first[2], first[1]]
    )
    np.testing.assert_allclose(diffuse(chain(), start, 0.5, 2), second)
    assert np.array_equal(diffuse(chain(), start, 0.5, 0), start)


def test_edges():
    # 0 and 1 name each other, 2 names 0, 3 nobody, 4 what is opposite.
    positions = np.array([[1], [0], [0], [-1], [0]])
    cosines = np.array([[0.5], [0.5], [0.8], [-2.0], [-0.3]], np.float32)
    found = graph_of(positions, cosines, exponent=3.0)
    weights = np.zeros((5, 5))
    weights[0, 1] = weights[1, 0] = 0.5**3
    weights[0, 2] = weights[2, 0] = 0.8**3
    degree = weights.sum(1)
    degree[degree == 0] = 1
    wanted = weights / np.sqrt(degree[:, None] * degree)
    np.testing.assert_allclose(found.toarray(), wanted, rtol=1e-6)
    assert found.nnz == 4 and found.dtype == np.float32
    assert found.indices.dtype == np.int32


def test_a_row_without_an_edge_keeps_its_own():
    graph = graph_of(np.array([[1], [0], [-1]]), np.ones((3, 1), np.float32))
    start = np.array([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4]], np.float32)
    for steps in (None, 1, 5):
        row = diffuse(graph, start, 0.8, steps)[2]
        np.testing.assert_allclose(row / row.sum(), [0.6, 0.4], rtol=1e-6)
