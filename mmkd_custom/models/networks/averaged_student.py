"""The student's own average as a teacher (mean teacher)."""

from __future__ import annotations

import copy
from typing import Any, List, Optional, Sequence

import torch
import torch.nn as nn
from mmengine.dist import broadcast, get_world_size

from ...errors import UserError
from ...registry import MODELS
from ...stages import STUDENT
from ..batch import Batch
from ..outputs import Outputs
from .classifier import OwnedClassifier


@MODELS.register_module()
class AveragedStudent(OwnedClassifier):
    """An exponential moving average of the student (arXiv 1703.01780).

    After each step of the student's optimiser, parameters become
    ``d * average + (1 - d) * student`` with d = min(momentum, (1 + t) /
    (10 + t)) after t steps; buffers are copied, those of rank 0, which a
    checkpoint holds, to every rank. It is always in
    ``eval()`` and gets no gradient.

    Args:
        momentum (float): Largest d, in [0, 1). Defaults to 0.999.

    Raises:
        UserError: If ``momentum`` is another number.
    """

    def __init__(self, momentum: float = 0.999) -> None:
        super().__init__()
        if not isinstance(momentum, (int, float)) or not 0 <= momentum < 1:
            raise UserError(
                f'AveragedStudent.momentum: expected a number in [0, 1), got '
                f'{momentum!r}.'
            )
        self.momentum = momentum
        self.register_buffer('steps', torch.zeros((), dtype=torch.long))
        self._steps = 0

    def attach(self, distiller: Any) -> None:
        """Copies the student."""
        self._view = distiller.student_view
        average = copy.deepcopy(distiller.student).requires_grad_(False)
        self.hold(average, distiller.input_size, self._view.split)
        self.train(False)

    def init_weights(self) -> None:
        """Does nothing: the weights are the student's at the first step."""

    def train(self, mode: bool = True) -> AveragedStudent:
        """Stays in evaluation mode, whatever ``mode`` is."""
        return super().train(False)

    @torch.no_grad()
    def ask(
        self, batch: Batch, wants: Sequence[str], view: Optional[str] = None
    ) -> Outputs:
        """Runs the average once, on images that are not mixed."""
        if self._steps == 0:
            # Only now has everything initialised and loaded the student.
            self._move(self._view.model, 0.0)
        # As they are: what it says is mixed afterwards.
        return self.split_view().run(batch.image(view or STUDENT), wants)

    def after_step(self, distiller: Any) -> None:
        """Averages, if the stage trains the student."""
        if STUDENT not in distiller.trained_children(distiller.stage):
            return
        limit = (1 + self._steps) / (10 + self._steps)
        self._move(
            distiller.student,
            min(self.momentum, limit) if self._steps else 0.0,
        )
        self._steps += 1
        self.steps.fill_(self._steps)

    @torch.no_grad()
    def _move(self, student: nn.Module, momentum: float) -> None:
        mine, theirs = list(self.model.parameters()), student.parameters()
        torch._foreach_lerp_(mine, list(theirs), 1 - momentum)
        for own, other in zip(self.model.buffers(), _shared(student)):
            own.copy_(other)

    def _load_from_state_dict(self, *args: Any, **kwargs: Any) -> None:
        super()._load_from_state_dict(*args, **kwargs)
        # Kept beside the buffer: reading that would have the host wait.
        self._steps = int(self.steps)


def _shared(module: nn.Module) -> List[torch.Tensor]:
    """Returns the buffers of a module; floats are those of rank 0."""
    buffers = list(module.buffers())
    floats = [b for b in buffers if b.is_floating_point()]
    if get_world_size() == 1 or not floats:
        return buffers
    flat = torch.cat([b.flatten().float() for b in floats])
    broadcast(flat, 0)
    parts = iter(flat.split([b.numel() for b in floats]))
    return [
        next(parts).view_as(b) if b.is_floating_point() else b for b in buffers
    ]
