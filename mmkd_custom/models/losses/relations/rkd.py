"""Are samples as far apart, and at the same angles, as for the teacher?"""

from __future__ import annotations

from typing import Optional, Tuple

import torch
import torch.nn.functional as F
from torch import Tensor

from ....registry import MODELS
from ...options import checked_weight
from ..base import Loss


@MODELS.register_module()
class RKD(Loss):
    """Relational knowledge distillation (arXiv 1904.05068).

    Of one process's batch, widths may differ; h is smooth L1 with beta = 1::

        d(x)[i, j] = ||x[i] - x[j]|| / mean of all pairs
        a(x)[i, j, k] = cos of the angle at i between x[j] and x[k]
        L = distance * mean_{i, j} h(d(s) - d(t))
          + angle * mean_{i, j, k} h(a(s) - a(t))

    Weights of 25 and 50, the defaults with a weight of 25, are second-hand.
    Both come of the Gram matrix (ours), so memory is batch^3, whatever the
    width. Samples that coincide have distance and angle 0.

    Args:
        distance (float): Weight of distances, >= 0. Defaults to 1.0.
        angle (float): Weight of angles, >= 0. Defaults to 2.0.

    Raises:
        UserError: If one is not a finite number >= 0.
    """

    equal = 'samples'

    def __init__(self, distance: float = 1.0, angle: float = 2.0) -> None:
        super().__init__()
        name = type(self).__name__
        self.distance = checked_weight(f'{name}.distance', distance)
        self.angle = checked_weight(f'{name}.angle', angle)

    def per_sample(
        self, student: Tensor, teacher: Tensor, target: Optional[Tensor]
    ) -> Tensor:
        (d_s, a_s), (d_t, a_t) = _relations(student), _relations(teacher)
        distance = F.smooth_l1_loss(d_s, d_t)
        return self.distance * distance + self.angle * F.smooth_l1_loss(
            a_s, a_t
        )


def _relations(x: Tensor) -> Tuple[Tensor, Tensor]:
    """Returns distances (N, N) and cosines of angles (N, N, N)."""
    x = x - x.mean(0)
    gram = x @ x.T
    squares = gram.diagonal()
    squared = squares + squares.unsqueeze(1) - 2 * gram
    # Below, rounding errors are all there is.
    apart = squared > 1e-6 * squares.mean()
    lengths = torch.where(apart, squared, 1.0).sqrt()
    distances = lengths * apart
    mean = distances.sum() / max(len(x) * (len(x) - 1), 1)
    # <x_j - x_i, x_k - x_i>
    products = gram + (squares.unsqueeze(1) - gram).unsqueeze(2)
    products = products - gram.unsqueeze(1)
    inverse = apart / lengths
    cosines = products * inverse.unsqueeze(1) * inverse.unsqueeze(2)
    return distances / mean.clamp_min(1e-6), cosines
