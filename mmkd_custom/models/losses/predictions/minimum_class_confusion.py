"""Which classes does the student confuse with each other?"""

from __future__ import annotations

from typing import Optional

import torch
from torch import Tensor

from ....registry import MODELS
from ...options import checked_positive
from ..base import Loss


@MODELS.register_module()
class MinimumClassConfusion(Loss):
    """Minimum class confusion (arXiv 1912.03699), for unlabelled samples.

    With p = softmax(z / T) and H the entropy of a row::

        w[n] ~ 1 + exp(-H(p_t[n])),  mean 1
        M = sum_n w[n] * p_s[n] p_s[n]^T
        L = 1 / C * sum_{j != k} M[j, k] / sum_i M[j, i]

    In the paper both sides are the student's logits, of which the weights are
    no path for a gradient: ``on=('student.logits', 'student.logits')``. The
    batch is that of one process.

    Args:
        temperature (float): T. Defaults to 2.5.

    Raises:
        UserError: If the temperature is not a finite number > 0.
    """

    def __init__(self, temperature: float = 2.5) -> None:
        super().__init__()
        name = f'{type(self).__name__}.temperature'
        self.temperature = checked_positive(name, temperature)

    def per_sample(
        self, student: Tensor, teacher: Tensor, target: Optional[Tensor]
    ) -> Tensor:
        p = (student / self.temperature).softmax(1)
        log_q = (teacher / self.temperature).log_softmax(1)
        weights = 1 + (log_q.exp() * log_q).sum(1, keepdim=True).exp()
        confusion = p.T @ (p * (weights / weights.mean()))
        same = torch.eye(len(confusion), dtype=bool, device=p.device)
        others = confusion.masked_fill(same, 0).sum(1)
        # A class that is never predicted is confused with none.
        return others / confusion.sum(1).clamp_min(1e-12)
