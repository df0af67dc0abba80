"""How far are the student's softened predictions from the teacher's?"""

from __future__ import annotations

from typing import Optional

import torch
from torch import Tensor

from ....registry import MODELS
from ...options import checked_positive
from ..base import Loss
from ..functional import softmax_divergence


@MODELS.register_module()
class KLDivergence(Loss):
    """Soft-target distillation, optionally of standardized logits.

    Knowledge distillation (arXiv 1503.02531)::

        L = T^2 * mean_n KL(softmax(z_t[n] / T) || softmax(z_s[n] / T))

    With ``standardize`` both logits go through the Z-score of logit
    standardization (arXiv 2403.01427) first, z -> (z - mean) / std along the
    classes, and T takes the part of that paper's base temperature tau. The
    loss then does not change when either side's logits are scaled by a
    positive number or shifted. What is ours: docs/methods.md, Losses.

    Args:
        temperature (float): T. Defaults to 4.0.
        standardize (bool): Whether logits are standardized first, with the
            population standard deviation. Defaults to False.

    Raises:
        UserError: If the temperature is not a finite number > 0.
    """

    def __init__(
        self, temperature: float = 4.0, standardize: bool = False
    ) -> None:
        super().__init__()
        name = f'{type(self).__name__}.temperature'
        self.temperature = checked_positive(name, temperature)
        self.standardize = standardize

    def per_sample(
        self, student: Tensor, teacher: Tensor, target: Optional[Tensor]
    ) -> Tensor:
        if self.standardize:
            student, teacher = _standardized(student), _standardized(teacher)
        return self.temperature**2 * softmax_divergence(
            student / self.temperature, teacher / self.temperature
        )


def _standardized(logits: Tensor) -> Tensor:
    # Taking the first class off makes constant logits exactly zero, so that
    # rounding errors of the mean are not blown up to unit variance.
    logits = logits - logits[:, :1]
    centred = logits - logits.mean(dim=1, keepdim=True)
    variance = centred.square().mean(dim=1, keepdim=True)
    # A constant row has no scale to take out, and 1 / std no gradient there.
    return centred * torch.where(variance > 0, variance, 1.0).rsqrt()
