"""Is the student's feature long enough, towards the centre of its class?"""

from __future__ import annotations

from typing import Optional

import torch
from torch import Tensor

from ....registry import MODELS
from ...options import checked_size
from ...outputs import Shape
from ..base import Loss
from ..functional import class_indices, one_hot, only, summed, unit


@MODELS.register_module()
class NormDirection(Loss):
    """Norm and direction of features: the ND loss of KD++ (arXiv 2305.17007).

    With c[k] the teacher's mean feature of class k, over labelled samples::

        L = mean_n 1 - <s[n], c[y] / ||c[y]||> / max(||s[n]||, ||t[n]||)

    so that the projection on the direction of its class is to be as long as
    the longer of both features. Samples of a negative index are left out. The
    means are running sums in a buffer, of all processes, which each batch in
    training mode enters first; the paper computes them before (ours).

    Args:
        num_classes (int, optional): Number of classes. Defaults to None: the
            term tells it.

    Raises:
        UserError: If an option is out of its range.
    """

    needs_target = True

    def __init__(self, num_classes: Optional[int] = None) -> None:
        super().__init__()
        self.num_classes = num_classes
        self.register_buffer('sums', None)

    def check(self, student: Shape, teacher: Shape) -> None:
        super().check(student, teacher)
        if self.sums is None:
            name = f'{type(self).__name__}.num_classes'
            classes = checked_size(name, self.num_classes)
            self.sums = torch.zeros(classes, teacher.width)

    def per_sample(
        self, student: Tensor, teacher: Tensor, target: Optional[Tensor]
    ) -> Tensor:
        name, classes = type(self).__name__, len(self.sums)
        target = class_indices(name, target, (len(student), classes))
        if self.training:
            labels = one_hot(
                name, target, student.new_zeros(len(student), classes)
            )
            self.sums += summed((labels.T @ teacher).unsqueeze(0))
        directions = unit(self.sums.to(student))[target.clamp_min(0)]
        length = torch.maximum(student.norm(dim=1), teacher.norm(dim=1))
        along = (student * directions).sum(1) / length.clamp_min(1e-4)
        return only(1 - along, target >= 0)
