"""How far is the student's output from the teacher's, squared?"""

from __future__ import annotations

from typing import Optional

import torch.nn.functional as F
from torch import Tensor

from ...registry import MODELS
from .base import Loss


@MODELS.register_module()
class MSE(Loss):
    """Mean squared error of two outputs of equal shapes.

    Of both feature terms of CustomKD (arXiv 2503.18244, stage 2), of FitNet
    (arXiv 1412.6550) behind a connector, and of logit matching::

        L = 1 / (N * D) * sum_n sum_d (s[n, d] - t[n, d])^2

    where D counts channels, and tokens or positions.

    Args:
        normalize (bool): Whether both sides are divided by their L2 norm
            along the channels first. L is then the mean of (2 - 2 cos) / C
            over samples and positions, C channels. Defaults to False.
    """

    kinds = ('vector', 'tokens', 'map')

    def __init__(self, normalize: bool = False) -> None:
        super().__init__()
        self.normalize = normalize

    def per_sample(
        self, student: Tensor, teacher: Tensor, target: Optional[Tensor]
    ) -> Tensor:
        if self.normalize:
            # Channels come second in (N, D), (N, C, h, w), last in (N, L, D).
            # The gradient at a dead (all-zero) feature is 1 / eps: F.normalize
            # has 1e-12, which overflows once it is cast back to float16.
            how = dict(dim=2 if student.dim() == 3 else 1, eps=1e-6)
            student = F.normalize(student, **how)
            teacher = F.normalize(teacher, **how)
        return (student - teacher).square()
