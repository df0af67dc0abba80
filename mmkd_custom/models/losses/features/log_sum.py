"""How far are standardised features apart, on a logarithmic scale?"""

from __future__ import annotations

from typing import Optional

from torch import Tensor

from ....registry import MODELS
from ...options import checked_positive
from ..base import Loss
from ..functional import standardized


@MODELS.register_module()
class LogSum(Loss):
    """Logarithm of the summed fourth powers of differences.

    After Miles and Mikolajczyk (AAAI 2024, arXiv 2303.11098), with z the
    features standardised over the batch of one process, as BatchNorm without
    affine parameters does::

        L = log(eps + sum_{n, d} |z_s[n, d] - z_t[n, d]|^4) - log(eps)

    The paper has twice the first term, by a weight of 2; that log(eps) is
    taken off, so that equal sides cost 0, is ours and changes no gradient.

    Args:
        eps (float): > 0. Defaults to 1e-4.

    Raises:
        UserError: If ``eps`` is not a finite number > 0.
    """

    def __init__(self, eps: float = 1e-4) -> None:
        super().__init__()
        self.eps = checked_positive(f'{type(self).__name__}.eps', eps)

    def per_sample(
        self, student: Tensor, teacher: Tensor, target: Optional[Tensor]
    ) -> Tensor:
        difference = standardized(student) - standardized(teacher)
        return (difference.pow(4).sum() / self.eps).log1p()
