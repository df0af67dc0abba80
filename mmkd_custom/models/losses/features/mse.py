"""How far is the student's output from the teacher's, squared?"""

from __future__ import annotations

from typing import Optional

import torch
from torch import Tensor

from ....registry import MODELS
from ..base import Loss
from ..functional import channels_last, unit


@MODELS.register_module()
class MSE(Loss):
    """Mean squared error of two outputs of equal shapes.

    Of both feature terms of CustomKD (arXiv 2503.18244, stage 2), of FitNet
    (arXiv 1412.6550) behind a connector, and of logit matching::

        L = 1 / (N * D) * sum_n sum_d (s[n, d] - t[n, d])^2

    where D counts channels, and tokens or positions.

    Args:
        normalize (bool): Whether both sides are divided by their L2 norm
            along the channels first. L is then the mean of (2 - 2 cos) / C
            over samples and positions, C channels. Defaults to False.
        relative (bool): Whether L is divided by the variance of the right
            side, so that it is the share of that variance which the left side
            does not explain, and one weight serves every teacher (ours:
            docs/methods.md, Losses)::

                V = 1 / (N * D) * sum_n sum_d (t[n, d] - mean(t[:, d]))^2

            with the mean of each channel over the batch, tokens and positions
            of this process. A right side that does not vary, such as a single
            vector, divides by 1. Defaults to False.
    """

    kinds = ('vector', 'tokens', 'map')

    def __init__(
        self, normalize: bool = False, relative: bool = False
    ) -> None:
        super().__init__()
        self.normalize = normalize
        self.relative = relative

    def per_sample(
        self, student: Tensor, teacher: Tensor, target: Optional[Tensor]
    ) -> Tensor:
        student, teacher = channels_last(student), channels_last(teacher)
        if self.normalize:
            student, teacher = unit(student), unit(teacher)
        errors = (student - teacher).square()
        return errors / _variance(teacher) if self.relative else errors


def _variance(target: Tensor) -> Tensor:
    rows = target.flatten(0, -2)
    # Taking the first row off makes a constant exactly zero, so that rounding
    # errors of the mean are not taken for a variance.
    rows = rows - rows[:1]
    variance = (rows - rows.mean(0)).square().mean()
    return torch.where(variance > 0, variance, 1.0)
