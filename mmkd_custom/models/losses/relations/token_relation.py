"""Do the student's tokens relate to each other as the teacher's do?"""

from __future__ import annotations

from typing import Optional

from torch import Tensor

from ....registry import MODELS
from ...options import checked_size
from ...outputs import Shape
from ..base import Loss
from ..functional import softmax_divergence


@MODELS.register_module()
class TokenRelation(Loss):
    """Divergence of the relations between tokens.

    After Hybrid Distillation (arXiv 2306.15876), whose student takes them
    from a teacher of masked images::

        R(x)[h, i] = softmax_j(x[h, i] . x[h, j] / sqrt(D / H))
        L = mean_{n, h, i} KL(R(x_t[n])[h, i] || R(x_s[n])[h, i])

    where x[h, i] is the h-th of H equal parts of token i. The paper relates
    queries to keys and values to values; here x, the tokens or any (N, L, D)
    of ``more.<name>``, say values, stands on both sides, and the distance of
    two rows is the divergence (ours: docs/methods.md, Losses).
    Both sides have L tokens, of any widths, and need no connector. A rotation
    of the channels of a head, on either side, changes nothing.

    Args:
        heads (int): H, which divides both widths. Defaults to 1.

    Raises:
        UserError: If ``heads`` is not an integer > 0.
    """

    kinds = ('tokens',)
    equal = 'positions'

    def __init__(self, heads: int = 1) -> None:
        super().__init__()
        self.heads = checked_size(f'{type(self).__name__}.heads', heads)

    def check(self, student: Shape, teacher: Shape) -> None:
        super().check(student, teacher)
        if student.width % self.heads or teacher.width % self.heads:
            expected = f'widths that {self.heads} divides'
            self.refuse(expected, student, teacher)

    def per_sample(
        self, student: Tensor, teacher: Tensor, target: Optional[Tensor]
    ) -> Tensor:
        return softmax_divergence(
            self._relations(student), self._relations(teacher)
        )

    def _relations(self, tokens: Tensor) -> Tensor:
        # (N, L, D) -> (N, H, L, D / H) -> (N, H, L, L), before the softmax
        x = tokens.unflatten(2, (self.heads, -1)).transpose(1, 2)
        return x @ x.transpose(2, 3) / x.shape[3] ** 0.5
