"""Does the student's output point where the teacher's does?"""

from __future__ import annotations

from typing import Optional

from torch import Tensor

from ....registry import MODELS
from ..base import Loss
from ..functional import channels_last, unit


@MODELS.register_module()
class Cosine(Loss):
    """One minus the cosine, along the channels.

    As between FROSTER's (arXiv 2402.03241) student and teacher; the mean over
    samples, and tokens or positions, of::

        1 - cos(s, t) = || s / ||s|| - t / ||t|| ||^2 / 2

    The right-hand form is what is computed: it keeps its digits near 0, and
    is 1/2 where one side is a zero vector (ours).
    """

    kinds = ('vector', 'tokens', 'map')

    def per_sample(
        self, student: Tensor, teacher: Tensor, target: Optional[Tensor]
    ) -> Tensor:
        student, teacher = (
            unit(channels_last(side)) for side in (student, teacher)
        )
        return (student - teacher).square().sum(-1) / 2
