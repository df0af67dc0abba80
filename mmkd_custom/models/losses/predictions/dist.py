"""Do predictions rise and fall with the teacher's, by sample and by class?"""

from __future__ import annotations

from typing import Optional

from torch import Tensor

from ....registry import MODELS
from ...options import checked_positive, checked_weight
from ..base import Loss
from ..functional import unit


@MODELS.register_module()
class DIST(Loss):
    """Correlations within samples and within classes (arXiv 2205.10536).

    With p = softmax(z / T) and r Pearson's correlation::

        L = T^2 * (inter * mean_n (1 - r(p_s[n, :], p_t[n, :]))
                   + intra * mean_c (1 - r(p_s[:, c], p_t[:, c])))

    The columns are those of one process's batch. A row or column that does
    not vary has r = 0.

    Args:
        inter (float): Weight of relations between classes, >= 0. Defaults to
            1.0.
        intra (float): Weight of relations within a class, >= 0. Defaults to
            1.0.
        temperature (float): T. Defaults to 1.0.

    Raises:
        UserError: If a number is none, or not in its range.
    """

    def __init__(
        self, inter: float = 1.0, intra: float = 1.0, temperature: float = 1.0
    ) -> None:
        super().__init__()
        name = type(self).__name__
        self.inter = checked_weight(f'{name}.inter', inter)
        self.intra = checked_weight(f'{name}.intra', intra)
        self.temperature = checked_positive(f'{name}.temperature', temperature)

    def per_sample(
        self, student: Tensor, teacher: Tensor, target: Optional[Tensor]
    ) -> Tensor:
        p, q = ((z / self.temperature).softmax(1) for z in (student, teacher))
        rows, columns = 1 - _correlation(p, q), 1 - _correlation(p.T, q.T)
        both = self.inter * rows.mean() + self.intra * columns.mean()
        return self.temperature**2 * both


def _correlation(x: Tensor, y: Tensor) -> Tensor:
    x, y = (side - side.mean(1, keepdim=True) for side in (x, y))
    return (unit(x) * unit(y)).sum(1)
