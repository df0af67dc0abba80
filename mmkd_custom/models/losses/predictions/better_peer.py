"""How far is a network from a peer that knows the label better?"""

from __future__ import annotations

from typing import Optional

import torch.nn.functional as F
from torch import Tensor

from ....registry import MODELS
from ...options import checked_choice, checked_positive
from ..base import Loss
from ..functional import class_indices, only, softmax_divergence


@MODELS.register_module()
class BetterPeer(Loss):
    """Divergence from the peer where that is the better one, or right.

    The selective distillation between a CNN and a ViT that learn together, by
    samples in place of pixels (ours)::

        L = T^2 * mean_n [CE(z_t[n], y[n]) < CE(z_s[n], y[n])]
                         * KL(softmax(z_t[n] / T) || softmax(z_s[n] / T))

    So the better of two peers learns nothing from the other one. With
    ``where='right'`` it is argmax z_t[n] = y[n] that counts, as for the views
    of MDCS (arXiv 2308.09922; second-hand). Samples of a negative index are
    left out.

    Args:
        temperature (float): T. Defaults to 1.0.
        where (str): ``'better'`` or ``'right'``. Defaults to 'better'.

    Raises:
        UserError: If the temperature is not a finite number > 0, or ``where``
            neither.
    """

    needs_target = True

    def __init__(
        self, temperature: float = 1.0, where: str = 'better'
    ) -> None:
        super().__init__()
        name = f'{type(self).__name__}'
        self.temperature = checked_positive(f'{name}.temperature', temperature)
        self.where = checked_choice(
            f'{name}.where', where, ('better', 'right')
        )

    def per_sample(
        self, student: Tensor, teacher: Tensor, target: Optional[Tensor]
    ) -> Tensor:
        target = class_indices(type(self).__name__, target, student.shape)
        if self.where == 'right':
            counts = teacher.argmax(1) == target
        else:
            own, peer = (
                F.cross_entropy(side, target.clamp_min(0), reduction='none')
                for side in (student, teacher)
            )
            counts = peer < own
        values = softmax_divergence(
            student / self.temperature, teacher / self.temperature
        )
        values = self.temperature**2 * values * counts
        return only(values, target >= 0)
