"""How far is the student off at what learnt masks pick out?"""

from __future__ import annotations

from typing import Optional

import torch
import torch.nn as nn
from torch import Tensor

from ....registry import MODELS
from ...options import checked_size, checked_weight
from ...outputs import Shape
from ..base import Loss
from ..functional import as_tokens, unit


@MODELS.register_module()
class MaskedMSE(Loss):
    """Squared errors weighted by masks of places and of channels.

    After ACAM-KD (arXiv 2503.06307), whose code we did not see: all below is
    ours. With all rows L2-normalised, x = softmax(sqrt(D) t s^T) s is what
    the teacher's positions find in the student's, and with vectors p[k], c[k]
    that are learnt for each mask k::

        m[n, i, k] = sigmoid(<x[n, i], p[k]>)
        o[n, d, k] = sigmoid(sqrt(D) mean_i x[n, i, d] * c[k, d])
        L = mean_{n, k} (E_m[e] + E_o[e]) / 2 + diversity * (D_m + D_o) / 2

    E is the mean of e = (s - t)^2 weighted by a mask, the squared error where
    masks are constant, and D the mean over all pairs of masks of Dice's
    2 <a, b> / (<a, a> + <b, b>). Masks learn by D alone, and the student by E
    with masks that are given: else both would learn to hide what is wrong.

    Args:
        masks (int): Masks of each sort. Defaults to 4.
        diversity (float): Weight of their likeness. Defaults to 1.0.

    Raises:
        UserError: If an option is out of its range.
    """

    kinds = ('tokens', 'map')

    def __init__(self, masks: int = 4, diversity: float = 1.0) -> None:
        super().__init__()
        name = type(self).__name__
        self.masks = checked_size(f'{name}.masks', masks)
        self.diversity = checked_weight(f'{name}.diversity', diversity)
        self.register_parameter('vectors', None)

    def check(self, student: Shape, teacher: Shape) -> None:
        super().check(student, teacher)
        if self.vectors is None:
            vectors = torch.randn(2, self.masks, teacher.width)
            self.vectors = nn.Parameter(vectors)

    def per_sample(
        self, student: Tensor, teacher: Tensor, target: Optional[Tensor]
    ) -> Tensor:
        # (N, L, D) each
        student, teacher = as_tokens(student), as_tokens(teacher)
        places, channels = self.vectors.to(student)
        root = student.shape[2] ** 0.5
        errors = (student - teacher).square()
        student, teacher = unit(student.detach()), unit(teacher.detach())
        found = (root * teacher @ student.mT).softmax(2) @ student
        # (N, K, L) and (N, K, D)
        at = (places @ found.mT).sigmoid()
        of = (root * found.mean(1, keepdim=True) * channels).sigmoid()
        weighted = _mean(at.detach(), errors.mean(2))
        weighted = weighted + _mean(of.detach(), errors.mean(1))
        return (weighted + self.diversity * (_dice(at) + _dice(of))) / 2


def _mean(masks: Tensor, errors: Tensor) -> Tensor:
    # (N, K, L), (N, L) -> (N,)
    sums = (masks * errors.unsqueeze(1)).sum(2)
    return (sums / masks.sum(2).clamp_min(1e-6)).mean(1)


def _dice(masks: Tensor) -> Tensor:
    # (N, K, L) -> (N,), without the pairs of a mask with itself
    products = masks @ masks.mT
    own = products.diagonal(dim1=1, dim2=2)
    both = (own.unsqueeze(1) + own.unsqueeze(2)).clamp_min(1e-6)
    count = masks.shape[1]
    dice = (2 * products / both).sum((1, 2)) - count
    return dice / max(count * (count - 1), 1)
