"""Are samples, or channels, as like each other as they are for the teacher?"""

from __future__ import annotations

from typing import Optional

from torch import Tensor

from ....registry import MODELS
from ...options import checked_choice
from ...outputs import Shape
from ..base import Loss
from ..functional import as_tokens, unit


@MODELS.register_module()
class GramRelation(Loss):
    """Squared difference of Gram matrices with normalised rows.

    Similarity-preserving distillation (arXiv 1907.09682) and the relations of
    DisWOT (arXiv 2303.15678), with F one row a sample, all else flattened::

        G(F)[i] = F[i] F^T / ||F[i] F^T||
        L = mean_{i, j} (G(F_s)[i, j] - G(F_t)[i, j])^2

    of the batch of one process; the two shapes may differ in all else.
    ``of='channels'`` compares channels in place of samples: over the batch
    for vectors, over the positions of each sample for maps and tokens.

    Args:
        of (str): ``'samples'`` or ``'channels'``. Defaults to 'samples'.

    Raises:
        UserError: If ``of`` is neither.
    """

    kinds = ('vector', 'tokens', 'map')
    equal = 'samples'

    def __init__(self, of: str = 'samples') -> None:
        super().__init__()
        name = f'{type(self).__name__}.of'
        self.of = checked_choice(name, of, ('samples', 'channels'))

    def check(self, student: Shape, teacher: Shape) -> None:
        super().check(student, teacher)
        if self.of == 'samples':
            return
        if student.width != teacher.width:
            self.refuse('as many channels on both sides', student, teacher)
        # Else the channels of a batch would meet those of each sample.
        if (student.kind == 'vector') != (teacher.kind == 'vector'):
            self.refuse('positions on both sides or none', student, teacher)

    def per_sample(
        self, student: Tensor, teacher: Tensor, target: Optional[Tensor]
    ) -> Tensor:
        return (self._gram(student) - self._gram(teacher)).square()

    def _gram(self, x: Tensor) -> Tensor:
        if self.of == 'samples':
            x = x.flatten(1)
        else:
            # (N, D) -> (D, N); (N, L, D) -> (N, D, L)
            x = as_tokens(x).mT
        return unit(x @ x.mT)
