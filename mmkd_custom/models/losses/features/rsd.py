"""Is each channel of the student that of the teacher, and no other one?"""

from __future__ import annotations

from typing import Optional

from torch import Tensor

from ....registry import MODELS
from ...options import checked_weight
from ..base import Loss
from ..functional import standardized


@MODELS.register_module()
class RSD(Loss):
    """Redundancy suppression distillation (arXiv 2507.21844).

    With z the features standardised over the batch of one process, B samples,
    and C = z_t^T z_s / B their correlations::

        L = sum_i (C[i, i] - 1)^2 + off_diagonal * sum_{i != j} C[i, j]^2

    Second-hand: a weight of L of 0.1, and the projector, an ``MLPConnector``.

    Args:
        off_diagonal (float): Weight of redundant channels, >= 0. Defaults to
            0.01.

    Raises:
        UserError: If it is not a finite number >= 0.
    """

    def __init__(self, off_diagonal: float = 0.01) -> None:
        super().__init__()
        name = f'{type(self).__name__}.off_diagonal'
        self.off_diagonal = checked_weight(name, off_diagonal)

    def per_sample(
        self, student: Tensor, teacher: Tensor, target: Optional[Tensor]
    ) -> Tensor:
        student, teacher = standardized(student), standardized(teacher)
        same = (student * teacher).mean(0)
        # The squared norm of C by products of samples: there are fewer of
        # them than channels.
        squares = (student @ student.T) * (teacher @ teacher.T)
        others = squares.sum() / len(student) ** 2 - same.square().sum()
        return (same - 1).square().sum() + self.off_diagonal * others
