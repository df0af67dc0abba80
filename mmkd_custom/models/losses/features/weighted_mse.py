"""How far is the student off, where some errors weigh more?"""

from __future__ import annotations

from typing import Optional

from torch import Tensor

from ....registry import MODELS
from ...options import checked_choice
from ..base import Loss
from ..functional import channels_last


@MODELS.register_module()
class WeightedMSE(Loss):
    """Mean squared error with weights that the right side says.

    ::

        L = mean_{n, i, d} w * (s[n, i, d] - t[n, i, d])^2,  mean of w = 1

    - ``'inverse_norm'``: w ~ 1 / ||t[n, i]||, after LAPTOP-Diff: outputs of a
      large norm do not rule; at most that of a tenth of the mean norm.
    - ``'entropy'``: w ~ log(1 + v[d] / mean v), v[d] the variance of channel
      d over the batch of one process, and positions: it grows with the
      logarithm of the variance, as a Gaussian's entropy does. After FEDS.

    Both equations are ours; of the papers we know the idea. With equal norms,
    or equal variances, L is the mean squared error.

    Args:
        weights (str): ``'inverse_norm'`` or ``'entropy'``. Defaults to
            'inverse_norm'.

    Raises:
        UserError: If ``weights`` is neither.
    """

    kinds = ('vector', 'tokens', 'map')

    def __init__(self, weights: str = 'inverse_norm') -> None:
        super().__init__()
        name = f'{type(self).__name__}.weights'
        choices = ('inverse_norm', 'entropy')
        self.weights = checked_choice(name, weights, choices)

    def per_sample(
        self, student: Tensor, teacher: Tensor, target: Optional[Tensor]
    ) -> Tensor:
        student, teacher = channels_last(student), channels_last(teacher)
        if self.weights == 'entropy':
            variance = teacher.flatten(0, -2).var(0, unbiased=False) + 1e-12
            weights = (variance / variance.mean()).log1p()
        else:
            norms = teacher.norm(dim=-1, keepdim=True) + 1e-12
            weights = 1 / norms.maximum(norms.mean() / 10)
        return (student - teacher).square() * (weights / weights.mean())
