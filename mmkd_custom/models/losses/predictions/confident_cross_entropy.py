"""How unlikely does the student hold soft labels that are sure enough?"""

from __future__ import annotations

from typing import Optional

import torch
import torch.nn.functional as F
from torch import Tensor

from ....registry import MODELS
from ...options import checked_positive, checked_weight
from ..base import Loss
from ..functional import summed


@MODELS.register_module()
class ConfidentCrossEntropy(Loss):
    """Cross entropy with soft labels, less for those that are unsure.

    The weights are SoftMatch's (arXiv 2301.10921)::

        p[n] = max_c q[n, c]
        w[n] = exp(-min(p[n] - mu, 0)^2 / (2 sigma^2 / width^2))
        L = mean_n -w[n] * sum_c q[n, c] * log softmax(z_s[n])[c]

    where q = softmax(z_t). Mean mu and variance sigma^2 of p are exponential
    averages over the batches in training mode, from 1 / C and 1 on, and each
    batch counts before it is weighted. They are buffers, of the images of all
    processes, so a resumed run has the very ones. In evaluation mode they
    stay as they are. Soft labels of any network in place of the student's own
    hard ones, and no alignment of the classes, are ours (docs/methods.md,
    Losses).

    Args:
        logits (bool): Whether the right side is z_t (N, C); else it is q
            (N, C) itself. Defaults to True.
        width (float): How fast weights fall, > 0. Defaults to 2.0.
        momentum (float): Share, from 0 to 1, that an average keeps of itself
            in a step. Defaults to 0.999.

    Raises:
        UserError: If a number is none, or not in its range.
    """

    def __init__(
        self, logits: bool = True, width: float = 2.0, momentum: float = 0.999
    ) -> None:
        super().__init__()
        name = type(self).__name__
        self.logits = logits
        self.width = checked_positive(f'{name}.width', width)
        self.momentum = checked_weight(f'{name}.momentum', momentum, most=1)
        # No mean of maxima is below 1 / C: 0 stands for that, which is not
        # known yet. float64: a step of 0.001 adds little.
        self.register_buffer('mean', torch.zeros((), dtype=torch.float64))
        self.register_buffer('variance', torch.ones((), dtype=torch.float64))

    def per_sample(
        self, student: Tensor, teacher: Tensor, target: Optional[Tensor]
    ) -> Tensor:
        q = teacher.softmax(1) if self.logits else teacher
        confidence = q.amax(1)
        least = 1 / q.shape[1]
        if self.training:
            self._update(confidence.detach().double(), least)
        below = (confidence - self.mean.clamp_min(least)).clamp_max(0)
        variance = self.variance.clamp_min(1e-12)
        weight = (-(below.square()) * self.width**2 / (2 * variance)).exp()
        return weight * F.cross_entropy(student, q, reduction='none')

    def _update(self, confidence: Tensor, least: float) -> None:
        count = torch.ones_like(confidence)
        count, total, squares = summed(
            torch.stack([count, confidence, confidence.square()], 1)
        )
        mean = total / count
        # Of the population that the batch is drawn from.
        variance = (squares - total * mean) / (count - 1).clamp_min(1)
        self.mean.clamp_min_(least).lerp_(mean, 1 - self.momentum)
        self.variance.lerp_(variance.clamp_min(0), 1 - self.momentum)
