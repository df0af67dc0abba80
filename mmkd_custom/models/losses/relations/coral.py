"""Do the channels vary alike in the labelled and the unlabelled stream?"""

from __future__ import annotations

from typing import Optional

import torch
from torch import Tensor

from ....registry import MODELS
from ....stages import STREAMS
from ...outputs import Shape
from ..base import Loss


@MODELS.register_module()
class CORAL(Loss):
    """Correlation alignment of two streams (Deep CORAL, arXiv 1607.01719).

    With C_0 and C_1 the covariances of the features of streams 0, labelled,
    and 1, unlabelled, in the batch of one process, and D channels::

        L = ||C_0 - C_1||^2 / (4 D^2)

    ``on=('student.feature', 'batch.stream')``. Synthetic images do not count;
    with fewer than two images of a stream L is 0. The gradient grows with the
    cube of a feature's norm: float16 holds that of a norm of 1e4 at a width
    of 1024.
    """

    def check(self, student: Shape, teacher: Shape) -> None:
        kinds = student.kind, teacher.kind
        # An index of labels would align one class with another.
        known = teacher.classes in (None, len(STREAMS))
        if kinds != ('vector', 'index') or not known:
            self.refuse('a vector and batch.stream', student, teacher)

    def per_sample(
        self, student: Tensor, teacher: Tensor, target: Optional[Tensor]
    ) -> Tensor:
        shares, known = student.new_zeros(len(student)), 1.0
        for stream, sign in enumerate((1, -1)):
            of = (teacher == stream).to(student.dtype)
            count = of.sum()
            mean = of @ student / count.clamp_min(1)
            student = student - torch.outer(of, mean)
            shares = shares + sign * of / (count - 1).clamp_min(1)
            known = known * (count > 1)
        # C_0 - C_1 at once: (N, D) -> (D, D)
        difference = student.T @ (student * shares.unsqueeze(1))
        return known * difference.square() / 4
