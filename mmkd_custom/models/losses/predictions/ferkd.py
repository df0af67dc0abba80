"""Which label may a sample have: none, its hard one, or the teacher's?"""

from __future__ import annotations

from typing import Optional

import torch
import torch.nn.functional as F
from torch import Tensor

from ....registry import MODELS
from ...options import checked_weight
from ..base import Loss
from ..functional import one_hot, only


@MODELS.register_module()
class FerKD(Loss):
    """Cross entropy with labels routed by the teacher's confidence.

    After FerKD (arXiv 2312.17473). With p = max_c softmax(z_t[n])[c] a crop

    - of p < ``drop`` is left out, as one that does not show its object,
    - of p < ``soft`` has its label, softened: (1 - s) * y + s / C,
    - of any other p has the teacher's prediction softmax(z_t[n]),

    and L is the mean cross entropy of those that are left. A sample without
    a label is left out where it would need it (ours), and the two thresholds
    are ours to set; with both 0 all have the teacher's prediction, as in FKD.

    Args:
        drop (float): From 0 to 1. Defaults to 0.1.
        soft (float): From 0 to 1. Defaults to 0.3.
        smoothing (float): s, from 0 to 1. Defaults to 0.1.

    Raises:
        UserError: If a number is not between 0 and 1.
    """

    needs_target = True

    def __init__(
        self, drop: float = 0.1, soft: float = 0.3, smoothing: float = 0.1
    ) -> None:
        super().__init__()
        name = type(self).__name__
        self.drop = checked_weight(f'{name}.drop', drop, most=1)
        self.soft = checked_weight(f'{name}.soft', soft, most=1)
        self.smoothing = checked_weight(f'{name}.smoothing', smoothing, 1)

    def per_sample(
        self, student: Tensor, teacher: Tensor, target: Optional[Tensor]
    ) -> Tensor:
        q = teacher.softmax(1)
        sure = q.amax(1, keepdim=True)
        label = one_hot(type(self).__name__, target, student)
        known = label.sum(1, keepdim=True) > 0
        label = (1 - self.smoothing) * label + self.smoothing / q.shape[1]
        counts = (sure >= self.drop) & ((sure >= self.soft) | known)
        q = torch.where(sure >= self.soft, q, label)
        values = F.cross_entropy(student, q, reduction='none')
        return only(values, counts.squeeze(1))
