"""How unlikely does the student hold the class that another is sure of?"""

from __future__ import annotations

from typing import Optional

import torch
import torch.nn.functional as F
from torch import Tensor

from ....registry import MODELS
from ...options import checked_choice, checked_weight
from ...outputs import Shape
from ..base import Loss
from ..functional import mean_of_all


@MODELS.register_module()
class PseudoLabel(Loss):
    """Cross entropy with the right side's most likely class, if it is sure.

    With q = softmax(z_t) and h = argmax q[n]::

        L = mean_n [q[n, h] >= threshold] * -log softmax(z_s[n])[h]

    FixMatch (arXiv 2001.07685) with the student's own logits of another view
    on the right; cross pseudo-labels with a peer's; with threshold 0 plain
    pseudo-labels. FreeMatch (arXiv 2205.07246), ``adaptive='free'``, has
    a threshold for each class, tau * p[h] / max_c p[c], where tau and p are
    exponential averages, from 1 / C on, of the mean of q's maximum and of q
    over the images of all processes. They are buffers, and each batch in
    training mode counts before it is compared.

    Args:
        threshold (float): From 0 to 1. Defaults to 0.95.
        adaptive (str, optional): ``'free'``, in place of ``threshold``.
            Defaults to None.
        momentum (float): Share, from 0 to 1, that an average keeps of itself
            in a step. Defaults to 0.999.

    Raises:
        UserError: If an option is out of its range.
    """

    def __init__(
        self,
        threshold: float = 0.95,
        adaptive: Optional[str] = None,
        momentum: float = 0.999,
    ) -> None:
        super().__init__()
        name = type(self).__name__
        self.threshold = checked_weight(f'{name}.threshold', threshold, 1)
        adaptive = checked_choice(f'{name}.adaptive', adaptive, (None, 'free'))
        self.adaptive = adaptive
        self.momentum = checked_weight(f'{name}.momentum', momentum, 1)
        self.register_buffer('averages', None)

    def check(self, student: Shape, teacher: Shape) -> None:
        super().check(student, teacher)
        if self.adaptive and self.averages is None:
            # tau, then p; float64, because a step adds little.
            start = torch.full((1 + teacher.width,), 1 / teacher.width)
            self.averages = start.double()

    def per_sample(
        self, student: Tensor, teacher: Tensor, target: Optional[Tensor]
    ) -> Tensor:
        q = teacher.softmax(1)
        confidence, classes = q.max(1)
        threshold = self.threshold
        if self.adaptive:
            if self.training:
                seen = torch.cat([confidence.unsqueeze(1), q], 1).double()
                self.averages.lerp_(mean_of_all(seen), 1 - self.momentum)
            tau, p = self.averages[0], self.averages[1:]
            threshold = tau * (p / p.max())[classes]
        values = F.cross_entropy(student, classes, reduction='none')
        return values * (confidence >= threshold)
