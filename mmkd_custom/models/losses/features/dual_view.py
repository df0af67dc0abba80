"""Do positions point where the teacher's do, with and without their mean?"""

from __future__ import annotations

from typing import Optional

from torch import Tensor

from ....registry import MODELS
from ...options import checked_weight
from ..base import Loss
from ..functional import as_tokens, unit


@MODELS.register_module()
class DualView(Loss):
    """Cosines of positions as they are, and less the mean over positions.

    The dual-view feature mimicking of ScaleKD (NeurIPS 2024)::

        L = original * mean_{n, i} 2 - 2 cos(s[n, i], t[n, i])
          + alternative * mean_{n, i} 2 - 2 cos(s'[n, i], t'[n, i])

    with x'[n, i] = x[n, i] - mean_j x[n, j]. Taking off that mean removes the
    zero frequency, so no transform is needed. The mean over positions in
    place of a sum is ours: weights do not depend on the size of the grid.

    Args:
        original (float): Weight of the first, >= 0. Defaults to 1.0.
        alternative (float): Weight of the second, >= 0. Defaults to 1.0.

    Raises:
        UserError: If one is not a finite number >= 0.
    """

    kinds = ('tokens', 'map')

    def __init__(
        self, original: float = 1.0, alternative: float = 1.0
    ) -> None:
        super().__init__()
        name = type(self).__name__
        self.original = checked_weight(f'{name}.original', original)
        self.alternative = checked_weight(f'{name}.alternative', alternative)

    def per_sample(
        self, student: Tensor, teacher: Tensor, target: Optional[Tensor]
    ) -> Tensor:
        sides = as_tokens(student), as_tokens(teacher)
        loss = sides[0].new_zeros(sides[0].shape[:2])
        # A view of weight 0 costs nothing.
        if self.original:
            loss = loss + self.original * _apart(*sides)
        if self.alternative:
            centred = (side - side.mean(1, keepdim=True) for side in sides)
            loss = loss + self.alternative * _apart(*centred)
        return loss


def _apart(student: Tensor, teacher: Tensor) -> Tensor:
    # 2 - 2 cos as a squared distance, which keeps its digits near 0.
    return (unit(student) - unit(teacher)).square().sum(-1)
