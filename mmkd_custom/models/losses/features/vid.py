"""How unlikely is the teacher's output, as the student predicts it?"""

from __future__ import annotations

import math
from typing import Optional

import torch
import torch.nn as nn
import torch.nn.functional as F
from torch import Tensor

from ....registry import MODELS
from ...options import checked_positive
from ...outputs import Shape
from ..base import Loss
from ..functional import channels_last


@MODELS.register_module()
class VID(Loss):
    """Variational information distillation (arXiv 1904.05835).

    The negative log-likelihood of a Gaussian around the left side, most often
    behind a connector, whose variance v[d] of each channel is learnt::

        L = mean_{n, i, d} (log v[d] + (t[n, i, d] - s[n, i, d])^2 / v[d]) / 2
        v[d] = softplus(a[d]) + 1e-5

    up to a constant; the paper sums over d. A channel that cannot be predicted
    gets a large variance and little weight.

    Args:
        variance (float): v at the start, > 0. Defaults to 5.0.

    Raises:
        UserError: If it is not a finite number > 0.
    """

    kinds = ('vector', 'tokens', 'map')

    def __init__(self, variance: float = 5.0) -> None:
        super().__init__()
        name = f'{type(self).__name__}.variance'
        self.variance = checked_positive(name, variance)
        self.register_parameter('scale', None)

    def check(self, student: Shape, teacher: Shape) -> None:
        super().check(student, teacher)
        if self.scale is None:
            # The inverse of softplus.
            start = self.variance + math.log(-math.expm1(-self.variance))
            self.scale = nn.Parameter(torch.full((teacher.width,), start))

    def per_sample(
        self, student: Tensor, teacher: Tensor, target: Optional[Tensor]
    ) -> Tensor:
        variance = F.softplus(self.scale.to(student)) + 1e-5
        errors = channels_last(teacher - student).square()
        return (variance.log() + errors / variance) / 2
