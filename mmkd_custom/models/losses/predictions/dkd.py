"""How far are target and non-target predictions apart, each on its own?"""

from __future__ import annotations

from typing import Optional

from torch import Tensor

from ....registry import MODELS
from ...options import checked_positive, checked_weight
from ..base import Loss
from ..functional import (
    softmax_divergence,
    target_and_others,
    taught_classes,
)


@MODELS.register_module()
class DKD(Loss):
    """Decoupled knowledge distillation (arXiv 2203.08679).

    ::

        L = T^2 * mean_n (alpha * TCKD[n] + beta * NCKD[n])

    with p = softmax(z / T). TCKD is the KL divergence, teacher to student, of
    the two masses (p_target, 1 - p_target); NCKD that of the non-target
    classes renormalised to one. KL = TCKD + (1 - p_t_target) * NCKD, so the
    plain divergence is the special case beta = 1 - p_t_target. With two
    classes NCKD is exactly 0, with one L is. Where the target is negative,
    and everywhere without one, the teacher's argmax is the target class
    (ours, as the defaults are: docs/methods.md, Losses).

    Args:
        alpha (float): Weight of TCKD. Defaults to 1.0.
        beta (float): Weight of NCKD. Defaults to 8.0.
        temperature (float): T. Defaults to 4.0.

    Raises:
        UserError: If the temperature is not a finite number > 0, or a weight
            not one >= 0.
    """

    def __init__(
        self, alpha: float = 1.0, beta: float = 8.0, temperature: float = 4.0
    ) -> None:
        super().__init__()
        name = type(self).__name__
        self.alpha = checked_weight(f'{name}.alpha', alpha)
        self.beta = checked_weight(f'{name}.beta', beta)
        self.temperature = checked_positive(f'{name}.temperature', temperature)

    def per_sample(
        self, student: Tensor, teacher: Tensor, target: Optional[Tensor]
    ) -> Tensor:
        if student.shape[1] < 2:
            return (student - teacher) * 0
        classes = taught_classes(type(self).__name__, target, teacher)
        sides = (
            target_and_others(side / self.temperature, classes)
            for side in (student, teacher)
        )
        tckd, nckd = (softmax_divergence(s, t) for s, t in zip(*sides))
        return self.temperature**2 * (self.alpha * tckd + self.beta * nckd)
