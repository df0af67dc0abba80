"""Does the student find the teacher's feature of the same image?"""

from __future__ import annotations

from typing import Optional

import torch
import torch.nn.functional as F
from mmengine.dist import all_gather, get_rank
from torch import Tensor

from ....registry import MODELS
from ...options import checked_positive
from ..base import Loss
from ..functional import unit


@MODELS.register_module()
class Contrastive(Loss):
    """InfoNCE between the student's and the teacher's features.

    In the manner of contrastive representation distillation (arXiv
    1910.10699), of whose bank of negatives the batch of all processes takes
    the place (ours). With all vectors L2-normalised::

        L = mean_n -log softmax_m(<s[n], t[m]> / T)[n]

    All processes must have as many samples.

    Args:
        temperature (float): T. Defaults to 0.07.

    Raises:
        UserError: If the temperature is not a finite number > 0.
    """

    def __init__(self, temperature: float = 0.07) -> None:
        super().__init__()
        name = f'{type(self).__name__}.temperature'
        self.temperature = checked_positive(name, temperature)

    def per_sample(
        self, student: Tensor, teacher: Tensor, target: Optional[Tensor]
    ) -> Tensor:
        teachers = torch.cat(all_gather(unit(teacher).contiguous()))
        similar = unit(student) @ teachers.T / self.temperature
        own = torch.arange(len(student), device=student.device)
        own = own + get_rank() * len(student)
        return F.cross_entropy(similar, own, reduction='none')
