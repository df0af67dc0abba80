"""How unlikely does the student hold what the teacher is sure of?"""

from __future__ import annotations

from typing import Optional

from torch import Tensor

from ....registry import MODELS
from ...options import checked_positive
from ..base import Loss
from ..functional import one_hot


@MODELS.register_module()
class OFA(Loss):
    """The target-enhanced loss of OFA-KD (arXiv 2310.19444).

    With p = softmax(z / T) and m the one-hot label, 0 without one::

        L = mean_n -sum_c ((p_t[n, c] + m[n, c])^epsilon - m[n, c])
                          * log p_s[n, c]

    For students of another architecture than the teacher's, whose dark
    knowledge may mislead: a larger epsilon gives more weight to the target
    class where the teacher is sure of it. epsilon = 1 is soft cross entropy.

    Args:
        epsilon (float): Exponent > 0. Defaults to 1.0.
        temperature (float): T. Defaults to 1.0.

    Raises:
        UserError: If one is not a finite number > 0.
    """

    def __init__(self, epsilon: float = 1.0, temperature: float = 1.0) -> None:
        super().__init__()
        name = type(self).__name__
        self.epsilon = checked_positive(f'{name}.epsilon', epsilon)
        self.temperature = checked_positive(f'{name}.temperature', temperature)

    def per_sample(
        self, student: Tensor, teacher: Tensor, target: Optional[Tensor]
    ) -> Tensor:
        label = one_hot(type(self).__name__, target, student)
        p = (teacher / self.temperature).softmax(1)
        weights = (p + label) ** self.epsilon - label
        log_q = (student / self.temperature).log_softmax(1)
        return -(weights * log_q).sum(1)
