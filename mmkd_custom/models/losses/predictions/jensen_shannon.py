"""How far are predictions apart, the same in both directions?"""

from __future__ import annotations

import math
from typing import Optional

import torch
from torch import Tensor

from ....registry import MODELS
from ...options import checked_choice
from ..base import Loss


@MODELS.register_module()
class JensenShannon(Loss):
    """A symmetric divergence of predictions, without labels.

    As in SSLD, which calls the former a Jensen-Shannon divergence. With p and
    q the softmax of both sides and m = (p + q) / 2, the mean over samples of::

        'jeffreys':  (KL(p || q) + KL(q || p)) / 2
        'jsd':       (KL(p || m) + KL(q || m)) / 2,  at most log 2

    Args:
        mode (str): ``'jeffreys'`` or ``'jsd'``. Defaults to 'jeffreys'.

    Raises:
        UserError: If ``mode`` is neither.
    """

    def __init__(self, mode: str = 'jeffreys') -> None:
        super().__init__()
        name = f'{type(self).__name__}.mode'
        self.mode = checked_choice(name, mode, ('jeffreys', 'jsd'))

    def per_sample(
        self, student: Tensor, teacher: Tensor, target: Optional[Tensor]
    ) -> Tensor:
        log_p, log_q = student.log_softmax(1), teacher.log_softmax(1)
        p, q = log_p.exp(), log_q.exp()
        if self.mode == 'jeffreys':
            return ((p - q) * (log_p - log_q)).sum(1) / 2
        log_m = torch.logaddexp(log_p, log_q) - math.log(2)
        return (p * (log_p - log_m) + q * (log_q - log_m)).sum(1) / 2
