"""How far are target and non-target predictions apart, each on its own?"""

from __future__ import annotations

from typing import Optional, Tuple

import torch
import torch.nn as nn

from ...errors import UserError
from ...registry import MODELS
from ..options import checked_weight
from .kl_divergence import checked_temperature, softmax_divergence
from .mse import matched


@MODELS.register_module()
class DKD(nn.Module):
    """Decoupled knowledge distillation (arXiv 2203.08679).

    ::

        L = T^2 * mean_n (alpha * TCKD[n] + beta * NCKD[n])

    with p = softmax(z / T). TCKD is the KL divergence, teacher to student, of
    the two masses (p_target, 1 - p_target); NCKD that of the non-target
    classes renormalised to one. KL = TCKD + (1 - p_t_target) * NCKD, so the
    plain divergence is the special case beta = 1 - p_t_target. With two
    classes NCKD is exactly 0.

    Args:
        alpha (float): Weight of TCKD. Defaults to 1.0 [ours].
        beta (float): Weight of NCKD. Defaults to 8.0 [ours].
        temperature (float): T. Defaults to 4.0 [ours].

    Raises:
        UserError: If the temperature is not a positive number, or a weight
            no finite number >= 0.
    """

    def __init__(
        self, alpha: float = 1.0, beta: float = 8.0, temperature: float = 4.0
    ) -> None:
        super().__init__()
        self.alpha = checked_weight(f'{type(self).__name__}.alpha', alpha)
        self.beta = checked_weight(f'{type(self).__name__}.beta', beta)
        self.temperature = checked_temperature(
            type(self).__name__, temperature
        )

    def forward(
        self,
        student: torch.Tensor,
        teacher: torch.Tensor,
        target: Optional[torch.Tensor] = None,
    ) -> torch.Tensor:
        """Computes the loss.

        Args:
            student (Tensor): Logits (N, C).
            teacher (Tensor): Logits (N, C); not detached here, that is up to
                the distiller.
            target (Tensor, optional): Class indices (N, ). Where it is
                negative, and everywhere when None, the teacher's argmax is
                the target class [ours]. Defaults to None.

        Returns:
            Tensor: A scalar in float32, or float64 for float64; 0 for an
            empty batch and for a single class.

        Raises:
            UserError: If the shapes differ or are not two-dimensional, or
                ``target`` holds no (N, ) indices of the C classes.
        """
        student, teacher = matched(type(self).__name__, student, teacher)
        samples, classes = student.shape
        if samples == 0 or classes < 2:
            return (student - teacher).sum() * 0
        target = self._target(teacher, target)
        student, student_others = _split(student / self.temperature, target)
        teacher, teacher_others = _split(teacher / self.temperature, target)
        tckd = softmax_divergence(student, teacher)
        nckd = softmax_divergence(student_others, teacher_others)
        loss = self.alpha * tckd + self.beta * nckd
        return self.temperature**2 * loss.mean()

    def extra_repr(self) -> str:
        return (
            f'alpha={self.alpha}, beta={self.beta}, '
            f'temperature={self.temperature}'
        )

    def _target(
        self, teacher: torch.Tensor, target: Optional[torch.Tensor]
    ) -> torch.Tensor:
        predicted = teacher.argmax(dim=1)
        if target is None:
            return predicted
        samples, classes = teacher.shape
        if target.shape != (samples,) or target.is_floating_point():
            raise UserError(
                f'{type(self).__name__}: target is {target.dtype} of shape '
                f'{tuple(target.shape)}, but class indices of shape '
                f'({samples}, ) are wanted for logits {(samples, classes)}.'
            )
        if target.max() >= classes:
            raise UserError(
                f'{type(self).__name__}: target holds class '
                f'{target.max().item()}, but logits {(samples, classes)} '
                f'know the classes 0 to {classes - 1} only.'
            )
        return torch.where(target < 0, predicted, target.to(predicted))


def _split(
    logits: torch.Tensor, target: torch.Tensor
) -> Tuple[torch.Tensor, torch.Tensor]:
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
