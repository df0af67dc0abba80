"""Confusion matrices, and two students image by image, by hand."""

import numpy as np
import pytest

from mmkd_custom.analysis.confusion import paired, rows_of
from mmkd_custom.analysis.examples import draw_some, only_last_right

LABELS = np.array([0, 0, 0, 0, 1, 1])
FIRST = np.array([0, 1, 1, 2, 1, 0])
SECOND = np.array([0, 0, 0, 2, 0, 0])


def test_rows_are_percent_of_the_images_of_a_class():
    found = rows_of(LABELS, FIRST, 3)
    np.testing.assert_allclose(
        found, [[25, 50, 25], [50, 50, 0], [np.nan] * 3]
    )


def test_pairs_by_hand():
    found = paired(LABELS, FIRST, SECOND)
    assert (found.only_first, found.only_second) == (1, 2)
    assert found.difference == pytest.approx(100 / 6)
    # Gains 0, 1, 1, 0, -1, 0: squared deviations sum to 3 - 6 (1/6)^2.
    std = np.sqrt((3 - 1 / 6) / 5)
    assert found.margin == pytest.approx(196 * std / np.sqrt(6))


def test_only_the_last_right():
    others = np.array([2, 2, 0, 0, 2, 2])
    found = only_last_right(LABELS, [FIRST, others, SECOND])
    assert found.tolist() == [1]
    assert only_last_right(LABELS, [FIRST, SECOND]).tolist() == [1, 2]


def test_examples_are_drawn_alike_every_time():
    found = np.arange(100, 150)
    drawn = draw_some(found, 12)
    assert len({*drawn.tolist()}) == 12 and (np.diff(drawn) > 0).all()
    assert {*drawn.tolist()} <= {*found.tolist()}
    assert drawn.tolist() == draw_some(found, 12).tolist()
    assert draw_some(found[:3], 12).tolist() == [100, 101, 102]
