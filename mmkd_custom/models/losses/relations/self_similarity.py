"""Are positions as alike as they are for the teacher?"""

from __future__ import annotations

from typing import Optional

from torch import Tensor

from ....registry import MODELS
from ..base import Loss
from ..functional import as_tokens, unit


@MODELS.register_module()
class SelfSimilarity(Loss):
    """Squared difference of the cosines between positions.

    As in MGD for segmentation::

        L = mean_{n, i, j} (cos(s[n, i], s[n, j]) - cos(t[n, i], t[n, j]))^2

    over the positions of an image or, of vectors, over the images of one
    process's batch. Neither the scale of a position nor a rotation of the
    channels counts, and widths may differ.
    """

    kinds = ('vector', 'tokens', 'map')
    equal = 'positions'

    def per_sample(
        self, student: Tensor, teacher: Tensor, target: Optional[Tensor]
    ) -> Tensor:
        student, teacher = (
            unit(as_tokens(side)) for side in (student, teacher)
        )
        return (student @ student.mT - teacher @ teacher.mT).square()
