"""How far are the student's logits from the teacher's?"""

from __future__ import annotations

from typing import Optional

import torch
import torch.nn as nn

from ...registry import MODELS
from .feature_mse import matched


@MODELS.register_module()
class LogitsMSE(nn.Module):
    """Mean squared error of two sets of logits.

    The direct logit matching the paper compares with (METHODS 2)::

        L = 1 / (N * C) * sum_n sum_c (z_s[n, c] - z_t[n, c])^2

    Unlike the divergences it is not invariant to a shift of the logits.
    """

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
        return (student - teacher).square().sum() / max(student.numel(), 1)
