"""How much each of several teachers counts."""

import pytest
import torch

from mmkd_custom.errors import UserError
from mmkd_custom.models.teachers.wrappers.shares import (
    checked_shares,
    power_shares,
)


@pytest.mark.parametrize(
    'weights, expected',
    [
        (None, (1, 1)),
        ((2, 0.5), (2, 0.5)),
        # CV-DD
        (dict(scores=(62.4, 52), temperature=5), (0.88894, 0.11106)),
        # Equal reliabilities are the mean (MulKI).
        (dict(scores=(-3.0, -3.0), temperature=1.0), (0.5, 0.5)),
        # DistillWeighted, and DistillNearest
        (dict(scores=[0.8, 0.4], power=1), (0.666667, 0.333333)),
        (dict(scores=[0.8, 0.4], power=12), (0.999756, 0.000244)),
        (dict(scores=[0.8, 0.4], power=5000), (1.0, 0.0)),
    ],
)
def test_numbers(weights, expected):
    found = checked_shares(weights, 2)
    assert found.dtype == torch.float64
    assert found.tolist() == pytest.approx(expected, abs=1e-6 * 5)


def test_scores_of_nothing_are_equal():
    assert power_shares([0.0, 0.0, 0.0], 12).tolist() == [1 / 3] * 3


@pytest.mark.parametrize(
    'weights, word',
    [
        (dict(scores=[1, 2]), 'power'),
        (dict(scores=[1, 2], power=2, temperature=1), 'either'),
        (dict(temperature=1), 'scores'),
        (dict(scores=[1, 2], power=0), 'weights.power'),
        (dict(scores=[1, 2], temperature='a'), 'weights.temperature'),
        (dict(scores=[1], temperature=1), 'weights.scores'),
        (dict(scores=[1, -2], power=1), 'weights.scores'),
        (dict(scores=[0, 0], power=1), 'weights.scores'),
        (dict(scores=[1, float('nan')], temperature=1), 'weights.scores'),
    ],
)
def test_wrong_weights_are_named(weights, word):
    with pytest.raises(UserError) as error:
        checked_shares(weights, 2)
    assert word in str(error.value) and 'teacher' in str(error.value)
