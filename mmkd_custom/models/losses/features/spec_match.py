"""How far is the student from the teacher along each direction?"""

from __future__ import annotations

from typing import Optional

from torch import Tensor

from ....registry import MODELS
from ...options import checked_positive
from ..base import Loss


@MODELS.register_module()
class SpecMatch(Loss):
    """Concave sum of the squared errors along each direction.

    After SpecMatch (arXiv 2609.34106)::

        e[k] = mean_n (s[n, k] - t[n, k])^2
        L = 1 / D * sum_k ((e[k] + eps)^beta - eps^beta)

    The weight of direction k is beta * (e[k] + eps)^(beta - 1), so one that a
    squared error leaves behind, because the teacher varies little along it,
    gains weight as the others are learnt. The paper sums over k; dividing by
    D and taking eps^beta off are ours: with beta = 1 L is the mean squared
    error, and it is 0 for equal sides. The means are those of one process's
    batch.

    The directions are the channels as they come. For the paper's, the
    principal ones of the teacher's feature, have
    ``StandardizeTeacherHook(rotate=True)`` in ``custom_hooks``, which also
    takes the mean of t's variances to 1; eps is relative to that.

    Args:
        beta (float): Exponent > 0. Defaults to 1 / 3.
        eps (float): Error > 0 below which a direction gains no more weight.
            Defaults to 1e-4.

    Raises:
        UserError: If one is not a finite number > 0.
    """

    def __init__(self, beta: float = 1 / 3, eps: float = 1e-4) -> None:
        super().__init__()
        name = type(self).__name__
        self.beta = checked_positive(f'{name}.beta', beta)
        self.eps = checked_positive(f'{name}.eps', eps)

    def per_sample(
        self, student: Tensor, teacher: Tensor, target: Optional[Tensor]
    ) -> Tensor:
        # (N, D) -> (D,)
        errors = (student - teacher).square().mean(0)
        return (errors + self.eps) ** self.beta - self.eps**self.beta
