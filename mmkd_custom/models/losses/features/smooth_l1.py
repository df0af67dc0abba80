"""How far is the student's output from the teacher's, outliers tamed?"""

from __future__ import annotations

from typing import Optional

import torch.nn.functional as F
from torch import Tensor

from ....registry import MODELS
from ...options import checked_weight
from ..base import Loss
from ..functional import channels_last


@MODELS.register_module()
class SmoothL1(Loss):
    """Smooth L1 distance of two outputs of equal shapes.

    Between the student and Hybrid Distillation's contrastive teacher (arXiv
    2306.15876); the mean over all entries x = s - t of::

        l(x) = x^2 / (2 beta)   where |x| < beta,   else |x| - beta / 2

    Args:
        beta (float): Where the square ends; 0 is the plain L1 distance.
            Defaults to 1.0.
        layer_norm (bool): Whether the channels of the right side are
            normalised first, to mean 0 and variance 1, as in VkD (arXiv
            2403.06213) behind an ``OrthogonalConnector``. Defaults to False.

    Raises:
        UserError: If ``beta`` is not a finite number >= 0.
    """

    kinds = ('vector', 'tokens', 'map')

    def __init__(self, beta: float = 1.0, layer_norm: bool = False) -> None:
        super().__init__()
        self.layer_norm = layer_norm
        self.beta = checked_weight(f'{type(self).__name__}.beta', beta)

    def per_sample(
        self, student: Tensor, teacher: Tensor, target: Optional[Tensor]
    ) -> Tensor:
        if self.layer_norm:
            student, teacher = channels_last(student), channels_last(teacher)
            teacher = F.layer_norm(teacher, teacher.shape[-1:])
        return F.smooth_l1_loss(
            student, teacher, reduction='none', beta=self.beta
        )
