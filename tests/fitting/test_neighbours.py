"""Tests of searching for the nearest neighbours."""

from __future__ import annotations

import sys

import numpy as np
import pytest
import torch

from mmkd_custom.errors import UserError
from mmkd_custom.fitting.neighbours import (
    approximate_neighbours,
    exact_neighbours,
    nearest,
)


def unit(count: int, width: int = 64) -> torch.Tensor:
    """Features of few degrees of freedom, as those of images are."""
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(count, 8, generator=generator)
    features = features @ torch.randn(8, width, generator=generator)
    return torch.nn.functional.normalize(features)


def by_hand(features: torch.Tensor, k: int):
    x = features.double().numpy()
    cosines = x @ x.T
    np.fill_diagonal(cosines, -2)
    order = np.argsort(-cosines, axis=1)[:, :k]
    return order, np.take_along_axis(cosines, order, 1)


@pytest.mark.parametrize('block', [(1024, 16384), (7, 9), (50, 3)])
def test_each_with_each(block):
    features = unit(50)
    where, cosines = exact_neighbours(features, 5, block)
    wanted, wanted_cosines = by_hand(features, 5)
    assert np.array_equal(where, wanted)
    np.testing.assert_allclose(cosines, wanted_cosines, atol=1e-5)


@pytest.mark.skipif(not torch.cuda.is_available(), reason='needs a GPU')
def test_on_a_gpu():
    features = unit(3000)
    where, cosines = exact_neighbours(features.cuda(), 5, (512, 700))
    wanted, wanted_cosines = by_hand(features, 5)
    assert (where == wanted).mean() > 0.999
    np.testing.assert_allclose(cosines, wanted_cosines, atol=1e-5)


@pytest.mark.parametrize('width', [64, 63])
def test_all_cells_are_the_exact_search(width):
    pytest.importorskip('faiss')
    features = unit(2000, width)
    where, cosines = approximate_neighbours(features, 5, cells=8, probes=8)
    wanted, wanted_cosines = by_hand(features, 5)
    # Codes choose the 30 that are compared.
    same = where == wanted
    assert same.mean() > 0.98
    np.testing.assert_allclose(cosines[same], wanted_cosines[same], atol=1e-5)
    assert (np.diff(cosines) <= 0).all()


def test_approximate_is_nearly_exact_and_repeats():
    pytest.importorskip('faiss')
    features = unit(4000)
    where, _ = approximate_neighbours(features, 10, seed=3)
    wanted, _ = by_hand(features, 10)
    shared = [len({*a} & {*b}) for a, b in zip(where.tolist(), wanted)]
    assert np.mean(shared) > 9.5
    again, _ = approximate_neighbours(features, 10, seed=3)
    assert np.array_equal(where, again)


def test_nobody_is_a_neighbour_of_itself():
    pytest.importorskip('faiss')
    features = unit(1000)
    # More that are alike than are looked for.
    features[100:140] = features[0]
    for where, _ in (
        exact_neighbours(features, 5),
        approximate_neighbours(features, 5, cells=4, probes=1),
    ):
        assert not (where == np.arange(1000)[:, None]).any()


@pytest.mark.parametrize('count, k', [(0, 0), (1, 0), (4, 3)])
def test_few(count, k):
    (where, cosines), exact = nearest(unit(4)[:count], 10)
    assert where.shape == cosines.shape == (count, k)
    assert exact


@pytest.mark.skipif(torch.cuda.is_available(), reason='exact on a GPU')
def test_many_need_faiss(monkeypatch):
    monkeypatch.setitem(sys.modules, 'faiss', None)
    with pytest.raises(UserError) as error:
        nearest(unit(11), 3, exact_up_to=10)
    assert 'pip install faiss-cpu' in str(error.value)
    assert nearest(unit(10), 3, exact_up_to=10)[1]
