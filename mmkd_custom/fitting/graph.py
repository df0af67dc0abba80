"""A graph of neighbours, and how labels move along its edges."""

from __future__ import annotations

from typing import Optional

import numpy as np
from scipy import sparse
from scipy.sparse.linalg import cg


def graph_of(
    positions: np.ndarray, cosines: np.ndarray, exponent: float = 3.0
) -> sparse.csr_matrix:
    r"""Joins neighbours by symmetric, normalised edges.

    .. math:: W_{ij} = \max(\cos_{ij}, 0)^\gamma \text{ if either is a
              neighbour of the other}, \quad S = D^{-1/2} W D^{-1/2}

    Args:
        positions (ndarray): (N, k); −1 is nobody.
        cosines (ndarray): (N, k).
        exponent (float): γ. Defaults to 3.

    Returns:
        csr_matrix: S (N, N), float32, without stored zeros.
    """
    count, k = positions.shape
    # 32 bits for the positions, half of what scipy would take of int64.
    columns = positions.astype(np.int32).ravel()
    rows = np.repeat(np.arange(count, dtype=np.int32), k)
    weights = cosines.clip(0).ravel() ** np.float32(exponent)
    real = (columns >= 0) & (weights > 0)
    graph = sparse.csr_matrix(
        (weights[real], (rows[real], columns[real])), shape=(count, count)
    )
    return normalized(graph.maximum(graph.T))


def normalized(weights: sparse.spmatrix) -> sparse.csr_matrix:
    """Divides each edge by the roots of both its ends' degrees.

    Args:
        weights (spmatrix): W (N, N), symmetric.

    Returns:
        csr_matrix: S (N, N). A row without an edge stays empty.
    """
    graph = sparse.csr_matrix(weights)
    degree = np.asarray(graph.sum(1)).ravel()
    root = np.sqrt(degree, where=degree > 0, out=np.ones_like(degree))
    graph.data /= np.repeat(root, np.diff(graph.indptr))
    graph.data /= root[graph.indices]
    return graph


def diffuse(
    graph: sparse.csr_matrix,
    start: np.ndarray,
    alpha: float,
    steps: Optional[int],
) -> np.ndarray:
    """Moves labels along the edges of a graph.

    Args:
        graph (csr_matrix): S (N, N).
        start (ndarray): p (N, C).
        alpha (float): Share of the neighbours' word.
        steps (int, optional): How often, as in :func:`propagate_labels`.

    Returns:
        ndarray: q (N, C), whose rows do not sum to 1. That of a row without
        an edge is p's times a number.
    """
    kept = (1 - alpha) * start
    if steps is None:
        system = sparse.identity(len(start), graph.dtype) - alpha * graph
        return np.stack([cg(system, y, x0=y)[0] for y in kept.T], axis=1)
    q = start
    for _ in range(steps):
        q = alpha * (graph @ q) + kept
    return q
