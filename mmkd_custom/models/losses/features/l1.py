"""How far is the student's output from the teacher's, in absolute terms?"""

from __future__ import annotations

from typing import Optional

from torch import Tensor

from ....registry import MODELS
from ..base import Loss
from ..functional import channels_last, unit


@MODELS.register_module()
class L1(Loss):
    """Mean absolute difference of two outputs of equal shapes.

    With ``normalize`` as in DMAE (arXiv 2208.12256), of the tokens of visible
    patches, and EZAD, of features; D channels::

        L = mean_{n, i} 1 / D * sum_d |s[n, i, d] - t[n, i, d]|

    Args:
        normalize (bool): Whether both sides are divided by their L2 norm
            along the channels first. Defaults to False.
    """

    kinds = ('vector', 'tokens', 'map')

    def __init__(self, normalize: bool = False) -> None:
        super().__init__()
        self.normalize = normalize

    def per_sample(
        self, student: Tensor, teacher: Tensor, target: Optional[Tensor]
    ) -> Tensor:
        sides = channels_last(student), channels_last(teacher)
        if self.normalize:
            sides = map(unit, sides)
        student, teacher = sides
        return (student - teacher).abs()
