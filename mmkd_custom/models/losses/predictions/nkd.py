"""Does the student trust the target class, and spread the rest, as taught?"""

from __future__ import annotations

from typing import Optional

import torch.nn.functional as F
from torch import Tensor

from ....registry import MODELS
from ...options import checked_positive, checked_weight
from ..base import Loss
from ..functional import target_and_others, taught_classes


@MODELS.register_module()
class NKD(Loss):
    """Normalised knowledge distillation (arXiv 2303.13005).

    With p = softmax(z), y the target class, and r the probabilities of all
    other classes at the temperature T, divided by their sum::

        L = mean_n -p_t[n, y] log p_s[n, y]
          - gamma T^2 sum_{c != y} r_t[n, c] log r_s[n, c]

    A cross entropy: it is not 0 for equal sides. Where the target is
    negative, and everywhere without one, the teacher's argmax is the target
    class (ours).

    Args:
        gamma (float): Weight of the other classes. Defaults to 1.5.
        temperature (float): T. Defaults to 1.0.

    Raises:
        UserError: If the temperature is not a finite number > 0, or ``gamma``
            not one >= 0.
    """

    def __init__(self, gamma: float = 1.5, temperature: float = 1.0) -> None:
        super().__init__()
        name = type(self).__name__
        self.gamma = checked_weight(f'{name}.gamma', gamma)
        self.temperature = checked_positive(f'{name}.temperature', temperature)

    def per_sample(
        self, student: Tensor, teacher: Tensor, target: Optional[Tensor]
    ) -> Tensor:
        if student.shape[1] < 2:
            return (student - teacher) * 0
        y = taught_classes(type(self).__name__, target, teacher)
        trust = teacher.softmax(1).gather(1, y.unsqueeze(1)).squeeze(1)
        values = trust * F.cross_entropy(student, y, reduction='none')
        (_, student), (_, teacher) = (
            target_and_others(side / self.temperature, y)
            for side in (student, teacher)
        )
        others = F.cross_entropy(student, teacher.softmax(1), reduction='none')
        return values + self.gamma * self.temperature**2 * others
