"""How much does each of several teachers count?"""

from __future__ import annotations

import math
from typing import Any, Optional, Sequence, Union

import torch

from ....errors import UserError
from ...options import checked_positive


def checked_shares(
    weights: Union[Sequence[float], dict, None], count: int
) -> torch.Tensor:
    r"""Returns the weights of an ensemble's teachers.

    Args:
        weights (Sequence[float] | dict, optional): The weights, or the
            ``scores`` that they follow from: with ``temperature`` T
            :math:`\mathrm{softmax}(s / T)` (CV-DD, of accuracies in percent;
            MulKI, of reliabilities), with ``power`` p
            :math:`s_k^p / \sum s^p` (DistillWeighted). None is 1 for each.
        count (int): How many teachers there are.

    Returns:
        Tensor: (count,) float64.

    Raises:
        UserError: If numbers do not fit.
    """
    if weights is None:
        return torch.ones(count, dtype=torch.float64)
    if not isinstance(weights, dict):
        return _numbers('weights', weights, count, least=0)
    rule = set(weights) - {'scores'}
    if 'scores' not in weights or rule not in ({'temperature'}, {'power'}):
        raise UserError(
            'teacher: weights: expected numbers, or a dict of scores and '
            f'either temperature or power, got {weights!r}.'
        )
    (kind,) = rule
    number = checked_positive(f'teacher: weights.{kind}', weights[kind])
    if kind == 'temperature':
        scores = _numbers('weights.scores', weights['scores'], count)
        return (scores / number).softmax(0)
    scores = _numbers('weights.scores', weights['scores'], count, least=0)
    return power_shares(scores, number)


def power_shares(
    scores: Union[Sequence[float], torch.Tensor], power: float
) -> torch.Tensor:
    """Returns s^p / sum s^p in float64; equal shares if all are 0.

    Args:
        scores (Sequence[float] | Tensor): s >= 0, (K,).
        power (float): p > 0.
    """
    scores = torch.as_tensor(scores, dtype=torch.float64)
    if not scores.any():
        return torch.full_like(scores, 1 / len(scores))
    # Of the largest: a large power of all would be 0.
    powers = (scores / scores.max()) ** power
    return powers / powers.sum()


def _numbers(
    option: str, given: Any, count: int, least: Optional[float] = None
) -> torch.Tensor:
    numbers = [
        w
        for w in (given if isinstance(given, (list, tuple)) else ())
        if isinstance(w, (int, float)) and math.isfinite(w)
    ]
    bounded = least is None or all(w >= least for w in numbers)
    some = least is None or any(numbers)
    if not (bounded and some and len(numbers) == count == len(given)):
        limit = '' if least is None else f' >= {least}, not all of them 0'
        raise UserError(
            f'teacher: {option}: expected {count} numbers{limit}, one a '
            f'teacher, got {given!r}.'
        )
    return torch.tensor(numbers, dtype=torch.float64)
