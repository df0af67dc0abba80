"""A permutation that nobody holds."""

import numpy as np
import pytest

from mmkd_custom.utils.shuffle import shuffled


@pytest.mark.parametrize('count', [1, 2, 3, 5, 64, 65, 1000, 4097])
def test_every_number_once_and_another_order_for_another_seed(count):
    places = np.arange(count)
    orders = [shuffled(places, count, seed) for seed in range(3)]
    for order in orders:
        assert sorted(order) == places.tolist()
    if count > 60:
        assert not np.array_equal(orders[0], orders[1])
        # Neighbours do not stay together.
        steps = np.abs(np.diff(orders[2]))
        assert steps.mean() == pytest.approx(count / 3, rel=0.25)


def test_of_any_place_of_a_long_one_alike_on_every_machine():
    count = 10**12
    places = np.array([0, 1, count - 1])
    found = shuffled(places, count, 7)
    assert found.tolist() == shuffled(places[::-1], count, 7)[::-1].tolist()
    assert ((found >= 0) & (found < count)).all()
    assert shuffled(np.arange(6), 6, 1).tolist() == PINNED


PINNED = [0, 4, 5, 1, 2, 3]
