"""How far are target and non-target predictions apart, each on its own?"""

from __future__ import annotations

from typing import Optional, Tuple

import torch
from torch import Tensor

from ...registry import MODELS
from ..options import checked_positive, checked_weight
from .base import Loss
from .functional import class_indices, softmax_divergence


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
    (ours, as the defaults are: docs/methods.md, Baselines).

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
        classes = teacher.argmax(dim=1)
        if target is not None:
            target = class_indices(type(self).__name__, target, student)
            classes = torch.where(target < 0, classes, target)
        student, student_others = _split(student / self.temperature, classes)
        teacher, teacher_others = _split(teacher / self.temperature, classes)
        tckd = softmax_divergence(student, teacher)
        nckd = softmax_divergence(student_others, teacher_others)
        return self.temperature**2 * (self.alpha * tckd + self.beta * nckd)


def _split(logits: Tensor, target: Tensor) -> Tuple[Tensor, Tensor]:
    """Splits (N, C) logits into (target, all others) and the others.

    Softmax of the (N, 2) result gives the two masses, softmax of the
    (N, C - 1) one the renormalised others; neither forms 1 - p, which is
    lost to rounding where p is near 1.
    """
    target = target.unsqueeze(1)
    # 0 .. C-1 without the target, in order: (C - 1, ) -> (N, C - 1)
    rest = torch.arange(logits.shape[1] - 1, device=logits.device)
    others = logits.gather(1, rest + (rest >= target).long())
    masses = torch.cat(
        [logits.gather(1, target), others.logsumexp(dim=1, keepdim=True)], 1
    )
    return masses, others
