"""How unlikely does the student hold the right class?"""

from __future__ import annotations

from typing import Optional

import torch.nn.functional as F
from torch import Tensor

from ....registry import MODELS
from ...options import checked_weight
from ...outputs import Shape
from ..base import Loss
from ..functional import class_indices, only


@MODELS.register_module()
class CrossEntropy(Loss):
    """Cross entropy of logits and class indices, or soft labels.

    ::

        L = mean_n -sum_c q[n, c] * log softmax(z_s[n])[c]

    The right side is q (N, C), or a class index (N,) that stands for a
    one-hot q. Samples of a negative index are left out; if all are, L is 0.

    Args:
        label_smoothing (float): Share of q, between 0 and 1, that is spread
            evenly over all classes. Defaults to 0.0.

    Raises:
        UserError: If ``label_smoothing`` is not between 0 and 1.
    """

    def __init__(self, label_smoothing: float = 0.0) -> None:
        super().__init__()
        name = f'{type(self).__name__}.label_smoothing'
        self.label_smoothing = checked_weight(name, label_smoothing, most=1)

    def check(self, student: Shape, teacher: Shape) -> None:
        if teacher.kind != 'index':
            super().check(student, teacher)
        elif student.kind != 'vector' or (
            teacher.classes not in (None, student.width)
        ):
            expected = f'a vector of {teacher.classes or "all"} classes'
            self.refuse(f'{expected} and an index', student, teacher)

    def per_sample(
        self, student: Tensor, teacher: Tensor, target: Optional[Tensor]
    ) -> Tensor:
        options = dict(reduction='none', label_smoothing=self.label_smoothing)
        if teacher.dim() != 1:
            return F.cross_entropy(student, teacher, **options)
        name = type(self).__name__
        teacher = class_indices(name, teacher, student.shape)
        values = F.cross_entropy(student, teacher.clamp_min(0), **options)
        return only(values, teacher >= 0)
