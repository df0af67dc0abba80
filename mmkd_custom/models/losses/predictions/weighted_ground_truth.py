"""How unlikely does the student hold labels mixed with predictions?"""

from __future__ import annotations

from typing import Optional

import torch.nn.functional as F
from torch import Tensor

from ....registry import MODELS
from ...options import checked_weight
from ..base import Loss
from ..functional import one_hot


@MODELS.register_module()
class WeightedGroundTruth(Loss):
    """Cross entropy with a mixture of labels and the right side.

    Self-distillation by rounds, in which the right side is what the student
    of the round before says::

        q[n] = alpha * y[n] + (1 - alpha) * softmax(z_t[n])
        L = mean_n -sum_c q[n, c] * log softmax(z_s[n])[c]

    with y the one-hot label. A sample without a label has alpha = 0 (ours).

    Args:
        alpha (float): Share of the label, from 0 to 1. Defaults to 0.5.

    Raises:
        UserError: If ``alpha`` is not between 0 and 1.
    """

    needs_target = True

    def __init__(self, alpha: float = 0.5) -> None:
        super().__init__()
        name = f'{type(self).__name__}.alpha'
        self.alpha = checked_weight(name, alpha, most=1)

    def per_sample(
        self, student: Tensor, teacher: Tensor, target: Optional[Tensor]
    ) -> Tensor:
        label = self.alpha * one_hot(type(self).__name__, target, student)
        q = label + (1 - label.sum(1, keepdim=True)) * teacher.softmax(1)
        return F.cross_entropy(student, q, reduction='none')
