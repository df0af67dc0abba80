"""A scope in which every global random generator follows from a key."""

from __future__ import annotations

import hashlib
import random
from contextlib import contextmanager
from typing import Iterator, Union

import numpy as np
import torch


def derive_seed(*key: Union[int, str]) -> int:
    """Mixes a key into one seed, alike on every platform and Python.

    Args:
        *key (int | str): What the seed shall depend on, such as (seed, sample
            index, view number). Order matters.

    Returns:
        int: A number in [0, 2**64).
    """
    parts = (f'{len(part)}:{part}' for part in map(str, key))
    hashed = hashlib.sha256(''.join(parts).encode()).digest()
    return int.from_bytes(hashed[:8], 'little')


def seed_rng(*key: Union[int, str]) -> None:
    """Seeds the global random generators from a key.

    Python's ``random``, NumPy's legacy global generator and torch's CPU
    generator.

    Args:
        *key (int | str): What the draws shall depend on, such as (seed,
            sample index, view number).
    """
    seed = derive_seed(*key)
    random.seed(seed)
    np.random.seed(seed % 2**32)
    # torch.manual_seed would seed the accelerators too, which is slow
    # and not allowed in a forked worker.
    torch.default_generator.manual_seed(seed % 2**63)


@contextmanager
def kept_rng() -> Iterator[None]:
    """Gives the generators that :func:`seed_rng` seeds their states back.

    On the way out of a ``with`` block, exceptions included. Getting and
    setting the states takes ten times as long as seeding, so whoever makes
    many views puts one block around all of them.
    """
    python_state = random.getstate()
    numpy_state = np.random.get_state()
    torch_state = torch.default_generator.get_state()
    try:
        yield
    finally:
        random.setstate(python_state)
        np.random.set_state(numpy_state)
        torch.default_generator.set_state(torch_state)


@contextmanager
def seeded_rng(*key: Union[int, str]) -> Iterator[None]:
    """Seeds the global random generators for the length of a ``with`` block.

    Python's ``random``, NumPy's legacy global generator and torch's CPU
    generator are seeded from the key, and get their former states back on the
    way out, exceptions included. So an augmentation that draws from them is a
    function of the key alone: not of the worker, the rank or a resume.
    Transforms that keep a generator of their own are out of its reach.

    Args:
        *key (int | str): What the draws shall depend on, such as (seed,
            sample index, view number).
    """
    with kept_rng():
        seed_rng(*key)
        yield
