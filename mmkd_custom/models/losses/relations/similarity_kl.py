"""Is the student as similar to other images as the teacher is?"""

from __future__ import annotations

from typing import Optional

import torch
from mmengine.dist import all_gather
from torch import Tensor

from ....registry import MODELS
from ...options import checked_positive, checked_size
from ...outputs import Shape
from ..base import Loss
from ..functional import softmax_divergence, unit

#: Far below every similarity, and finite: 0 * inf is no number.
_NEVER = -1e9


@MODELS.register_module()
class SimilarityKL(Loss):
    """Divergence of the similarities to a queue of the teacher's features.

    With all vectors L2-normalised and Q (K, D) features of the teacher::

        L = mean_n KL(softmax(t[n] Q^T / T) || softmax(s[n] Q^T / T))

    As in SEED (arXiv 2101.04731) and lightly-train, of which the latter keeps
    Q fixed. Here (ours: docs/methods.md, Losses) Q is a queue of
    what the right side has been: each batch in training mode enters before it
    is compared, the oldest rows leave, and until ``size`` rows have come only
    those there are count. The queue is a buffer. All processes put in the
    rows of all, which must be as many in each, so they have the same queue
    and a resumed run the very one. In evaluation mode it stays as it is.

    Args:
        size (int): K, at least the samples of a batch of all processes; else
            only the first of them are in it. Defaults to 1024.
        temperature (float): T. Defaults to 0.07.

    Raises:
        UserError: If ``size`` is not an integer > 0 or the temperature not a
            finite number > 0.
    """

    def __init__(self, size: int = 1024, temperature: float = 0.07) -> None:
        super().__init__()
        name = type(self).__name__
        self.size = checked_size(f'{name}.size', size)
        self.temperature = checked_positive(f'{name}.temperature', temperature)
        self.register_buffer('queue', None)

    def check(self, student: Shape, teacher: Shape) -> None:
        super().check(student, teacher)
        if self.queue is None:
            # Now, not in the first step: a checkpoint may be loaded before.
            self.queue = torch.zeros(self.size, teacher.width)
        elif self.queue.shape[1] != teacher.width:
            width = self.queue.shape[1]
            self.refuse(f'vectors of width {width}', student, teacher)

    def per_sample(
        self, student: Tensor, teacher: Tensor, target: Optional[Tensor]
    ) -> Tensor:
        student, teacher = unit(student), unit(teacher)
        queue = self.queue.to(teacher)
        if self.training:
            rows = torch.cat(all_gather(teacher.detach().contiguous()))
            # Another tensor, so that the next batch may change the buffer.
            queue = torch.cat([rows, queue])[: self.size]
            self.queue.copy_(queue)
        # Rows that never came are zero.
        empty = queue.square().sum(1) == 0
        student, teacher = (
            (side @ queue.T / self.temperature).masked_fill(empty, _NEVER)
            for side in (student, teacher)
        )
        return softmax_divergence(student, teacher)
