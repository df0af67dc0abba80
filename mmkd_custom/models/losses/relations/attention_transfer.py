"""Does the student look where the teacher looks?"""

from __future__ import annotations

from typing import Optional

from torch import Tensor

from ....errors import UserError
from ....registry import MODELS
from ...options import checked_positive
from ..base import Loss
from ..functional import as_tokens, unit


@MODELS.register_module()
class AttentionTransfer(Loss):
    """Squared distance of where two maps are active (arXiv 1612.03928).

    ::

        A(x)[n, i] = sum_d |x[n, i, d]|^power
        L = mean_{n, i} (A(s)[n, i] / ||A(s)[n]|| - A(t)[n, i] / ||A(t)[n]||)^2

    over positions i; the mean, as in the authors' code, in place of the
    paper's norm. Neither the order nor the common scale of channels counts,
    and widths may differ: no connector is needed between equal grids.

    Args:
        power (float): At least 1. Defaults to 2.0.

    Raises:
        UserError: If ``power`` is not a finite number >= 1.
    """

    kinds = ('tokens', 'map')
    equal = 'positions'

    def __init__(self, power: float = 2.0) -> None:
        super().__init__()
        name = f'{type(self).__name__}.power'
        self.power = checked_positive(name, power)
        if power < 1:
            raise UserError(f'{name}: expected at least 1, got {power!r}.')

    def per_sample(
        self, student: Tensor, teacher: Tensor, target: Optional[Tensor]
    ) -> Tensor:
        student, teacher = (
            unit(as_tokens(side).abs().pow(self.power).sum(2))
            for side in (student, teacher)
        )
        return (student - teacher).square()
