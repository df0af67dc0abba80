"""A shuffled order that is a function of the position, held by nobody."""

from __future__ import annotations

import numpy as np

#: Rounds of the network; four suffice for a pseudo-random permutation.
ROUNDS = 6


def shuffled(positions: np.ndarray, count: int, seed: int) -> np.ndarray:
    """Returns what stands at positions of a permutation of 0 … count - 1.

    A Feistel network over the smallest even number of bits that holds
    ``count``, walked until it is left with a number below: a permutation of a
    hundred million rows takes no memory, and no start to come to its middle.

    Args:
        positions (ndarray): Integers in [0, count), of any shape.
        count (int): Length of the permutation, below 2**62.
        seed (int): Which permutation, from 0 on.

    Returns:
        ndarray: int64, each position another number.
    """
    half = np.uint64(max(1, ((count - 1).bit_length() + 1) // 2))
    mask = np.uint64((1 << int(half)) - 1)
    keys = np.random.SeedSequence(seed).generate_state(ROUNDS, np.uint64)
    found = positions.astype(np.uint64)
    outside = np.ones(found.shape, bool)
    while outside.any():
        left, right = found[outside] >> half, found[outside] & mask
        for key in keys:
            left, right = right, left ^ (_mixed(right + key) & mask)
        found[outside] = (left << half) | right
        outside = found >= np.uint64(count)
    return found.astype(np.int64)


def _mixed(values: np.ndarray) -> np.ndarray:
    """Scatters 64-bit numbers: the end of splitmix64."""
    values = (values ^ (values >> np.uint64(30))) * _FIRST
    values = (values ^ (values >> np.uint64(27))) * _SECOND
    return values ^ (values >> np.uint64(31))


_FIRST = np.uint64(0xBF58476D1CE4E5B9)
_SECOND = np.uint64(0x94D049BB133111EB)
