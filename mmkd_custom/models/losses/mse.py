"""How far is the student's feature from the teacher's?"""

from __future__ import annotations

from typing import Optional, Tuple

import torch
import torch.nn as nn
import torch.nn.functional as F

from ...errors import UserError
from ...registry import MODELS


def matched(
    loss: str, student: torch.Tensor, teacher: torch.Tensor
) -> Tuple[torch.Tensor, torch.Tensor]:
    """Checks a pair of tensors and gives it in the precision of a loss.

    Args:
        loss (str): Name of the loss, for the error.
        student (Tensor): (N, D) features or logits.
        teacher (Tensor): (N, D) features or logits.

    Returns:
        tuple[Tensor, Tensor]: Both in float32; float64 stays float64.

    Raises:
        UserError: If the shapes differ or are not two-dimensional.
    """
    if student.shape != teacher.shape or student.dim() != 2:
        raise UserError(
            f'{loss}: student {tuple(student.shape)} and teacher '
            f'{tuple(teacher.shape)} do not fit, but one shape '
            '(samples, dimensions) is wanted for both.'
        )
    return _at_least_float32(student), _at_least_float32(teacher)


@MODELS.register_module()
class MSE(nn.Module):
    """Mean squared error of two features.

    The ``MSE`` of both feature terms of CustomKD (arXiv 2503.18244, stage 2),
    and of FitNet (arXiv 1412.6550) behind a connector::

        L = 1 / (N * D) * sum_n sum_d (f_s[n, d] - f_t[n, d])^2

    Args:
        normalize (bool): Whether both features are divided by their L2 norm
            along D first; L is then (2 - 2 cos) / D, averaged over samples.
            The features need not be normalised before. Defaults to False.
    """

    def __init__(self, normalize: bool = False) -> None:
        super().__init__()
        self.normalize = normalize

    def forward(
        self,
        student: torch.Tensor,
        teacher: torch.Tensor,
        target: Optional[torch.Tensor] = None,
    ) -> torch.Tensor:
        """Computes the loss.

        Args:
            student (Tensor): Features (N, D).
            teacher (Tensor): Features (N, D); not detached here, that is up
                to the distiller.
            target (Tensor, optional): Not used. Defaults to None.

        Returns:
            Tensor: A scalar in float32, or float64 for float64; 0 for an
            empty batch.

        Raises:
            UserError: If the shapes differ or are not two-dimensional.
        """
        student, teacher = matched(type(self).__name__, student, teacher)
        if self.normalize:
            # The gradient at a dead (all-zero) feature is 1 / eps: F.normalize
            # has 1e-12, which overflows once it is cast back to float16.
            student = F.normalize(student, dim=1, eps=1e-6)
            teacher = F.normalize(teacher, dim=1, eps=1e-6)
        total = (student - teacher).square().sum()
        return total / max(student.numel(), 1)

    def extra_repr(self) -> str:
        return f'normalize={self.normalize}'


def _at_least_float32(tensor: torch.Tensor) -> torch.Tensor:
    return tensor if tensor.dtype == torch.float64 else tensor.float()
