"""How unlikely does the student hold the right class, were all as common?"""

from __future__ import annotations

from typing import Optional, Sequence

import torch
from torch import Tensor

from ....registry import MODELS
from ...options import checked_number, checked_positive
from ...outputs import Shape
from ..functional import one_hot, summed
from .cross_entropy import CrossEntropy


@MODELS.register_module()
class BalancedCrossEntropy(CrossEntropy):
    """Cross entropy of logits to which the sizes of classes are added.

    As of the experts of MDCS (arXiv 2308.09922), exponents -0.5, 1 and 2.5::

        L = CE(z_s[n] + exponent * log size, y[n])

    1 is balanced softmax (arXiv 2007.10740): z itself then takes all classes
    as equally common; more favours the rare ones. Counted in a buffer, sizes
    are 1 plus the labels that came, of all processes, each batch in training
    mode first. Labels are those of :class:`CrossEntropy`.

    Args:
        exponent (float): Of the sizes. Defaults to 1.0.
        counts (Sequence[float], optional): Sizes > 0 of all classes. Defaults
            to None, counted.
        **kwargs: See :class:`CrossEntropy`.

    Raises:
        UserError: If an option is out of its range.
    """

    def __init__(
        self,
        exponent: float = 1.0,
        counts: Optional[Sequence[float]] = None,
        **kwargs: float,
    ) -> None:
        super().__init__(**kwargs)
        name = type(self).__name__
        self.exponent = checked_number(f'{name}.exponent', exponent)
        self.counts = counts
        self.register_buffer('sizes', None)
        if counts is not None:
            sizes = [checked_positive(f'{name}.counts', n) for n in counts]
            self.sizes = torch.tensor(sizes)

    def check(self, student: Shape, teacher: Shape) -> None:
        super().check(student, teacher)
        if self.sizes is None:
            self.sizes = torch.ones(student.width)
        elif len(self.sizes) != student.width:
            self.refuse(f'{len(self.sizes)} classes', student, teacher)

    def per_sample(
        self, student: Tensor, teacher: Tensor, target: Optional[Tensor]
    ) -> Tensor:
        if self.training and self.counts is None:
            hard = teacher.dim() == 1
            name = type(self).__name__
            labels = one_hot(name, teacher, student) if hard else teacher
            self.sizes += summed(labels)
        sizes = self.sizes.to(student).log()
        return super().per_sample(
            student + self.exponent * sizes, teacher, target
        )
