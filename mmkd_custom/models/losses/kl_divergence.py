"""How far are the student's softened predictions from the teacher's?"""

from __future__ import annotations

import math
from typing import Optional

import torch
import torch.nn as nn

from ...errors import UserError
from ...registry import MODELS
from .mse import matched


def softmax_divergence(
    student: torch.Tensor, teacher: torch.Tensor
) -> torch.Tensor:
    """Computes KL(softmax(teacher) || softmax(student)) of each sample.

    Args:
        student (Tensor): Logits (N, C).
        teacher (Tensor): Logits (N, C).

    Returns:
        Tensor: (N, ), in nats.
    """
    log_teacher = teacher.log_softmax(dim=1)
    difference = log_teacher - student.log_softmax(dim=1)
    return (log_teacher.exp() * difference).sum(dim=1)


def checked_temperature(loss: str, temperature: float) -> float:
    """Gives the temperature of a loss as a float.

    Args:
        loss (str): Name of the loss, for the error.
        temperature (float): What the user set.

    Returns:
        float: The same number.

    Raises:
        UserError: If it is not a positive, finite number.
    """
    number = isinstance(temperature, (int, float)) and not isinstance(
        temperature, bool
    )
    if not number or not 0 < temperature < math.inf:
        raise UserError(
            f'{loss}: temperature={temperature!r} was set, but a positive '
            'number is wanted.'
        )
    return float(temperature)


@MODELS.register_module()
class KLDivergence(nn.Module):
    """Soft-target distillation, optionally of standardized logits.

    Knowledge distillation (arXiv 1503.02531), KL_T in METHODS' notation::

        L = T^2 * mean_n KL(softmax(z_t[n] / T) || softmax(z_s[n] / T))

    With ``standardize`` both logits go through the Z-score of logit
    standardization (arXiv 2403.01427) first, z -> (z - mean) / std along the
    classes, and T takes the part of that paper's base temperature tau. The
    loss then does not change when either side's logits are scaled by a
    positive number or shifted.

    Args:
        temperature (float): T. Defaults to 4.0 [ours].
        standardize (bool): Whether logits are standardized first, with the
            population standard deviation [ours]. Defaults to False.

    Raises:
        UserError: If the temperature is not a positive number.
    """

    def __init__(
        self, temperature: float = 4.0, standardize: bool = False
    ) -> None:
        super().__init__()
        self.temperature = checked_temperature(
            type(self).__name__, temperature
        )
        self.standardize = standardize

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
            target (Tensor, optional): Not used. Defaults to None.

        Returns:
            Tensor: A scalar in float32, or float64 for float64; 0 for an
            empty batch.

        Raises:
            UserError: If the shapes differ or are not two-dimensional.
        """
        student, teacher = matched(type(self).__name__, student, teacher)
        if self.standardize:
            student, teacher = _standardized(student), _standardized(teacher)
        divergence = softmax_divergence(
            student / self.temperature, teacher / self.temperature
        )
        return self.temperature**2 * divergence.sum() / max(len(student), 1)

    def extra_repr(self) -> str:
        return (
            f'temperature={self.temperature}, standardize={self.standardize}'
        )


def _standardized(logits: torch.Tensor) -> torch.Tensor:
    # Taking the first class off makes constant logits exactly zero, so that
    # rounding errors of the mean are not blown up to unit variance.
    logits = logits - logits[:, :1]
    centred = logits - logits.mean(dim=1, keepdim=True)
    variance = centred.square().mean(dim=1, keepdim=True)
    # A constant row has no scale to take out, and 1 / std no gradient there.
    return (
        centred
        * variance.where(variance > 0, torch.ones_like(variance)).rsqrt()
    )
