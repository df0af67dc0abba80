"""What every loss promises: shapes that fit, float32, a mean."""

from __future__ import annotations

from typing import Optional, Tuple

import torch
import torch.nn as nn
from torch import Tensor

from ...errors import UserError
from ..outputs import Shape


class Loss(nn.Module):
    """The mean over all values of :meth:`per_sample`.

    A loss writes that method, names the ``kinds`` of shape that both sides
    may have, and keeps each option in an attribute of the option's name,
    which the repr shows. It knows no model, no weight and no schedule. What
    it remembers of earlier batches is in buffers, the same in all processes,
    that change in training mode only; most remember nothing.
    """

    kinds: Tuple[str, ...] = ('vector',)

    def per_sample(
        self, student: Tensor, teacher: Tensor, target: Optional[Tensor]
    ) -> Tensor:
        """Computes the values whose mean is the loss.

        Args:
            student (Tensor): (N, ...) with N > 0, float32 or float64.
            teacher (Tensor): (N, ...), likewise, or an index (N,).
            target (Tensor, optional): See :meth:`forward`.

        Returns:
            Tensor: (N,) or (N, ...), without the samples that do not count;
            or of any shape, if the loss is a function of the whole batch.
        """
        raise NotImplementedError

    def check(self, student: Shape, teacher: Shape) -> None:
        """Checks, when a model is built, that two outputs can be compared.

        Args:
            student (Shape): The left side, behind its connector.
            teacher (Shape): The right side.

        Raises:
            UserError: If they cannot; names both shapes.
        """
        if student.sizes != teacher.sizes or student.kind not in self.kinds:
            kinds = ' or '.join(self.kinds)
            self.refuse(f'two equal shapes, {kinds}', student, teacher)

    def refuse(self, expected: str, student: object, teacher: object) -> None:
        """Raises the error of two sides that cannot be compared."""
        raise UserError(
            f'{type(self).__name__}: expected {expected}, got {student} and '
            f'{teacher}.'
        )

    def forward(
        self, student: Tensor, teacher: Tensor, target: Optional[Tensor] = None
    ) -> Tensor:
        """Computes the loss.

        Args:
            student (Tensor): (N, ...) of a shape that :meth:`check` takes.
            teacher (Tensor): (N, ...); not detached here, that is up to the
                distiller.
            target (Tensor, optional): Class indices (N,), negative where
                there is no label. Defaults to None.

        Returns:
            Tensor: A scalar in float32, or float64 for float64; 0 for an
            empty batch.

        Raises:
            UserError: If the shapes do not fit.
        """
        shapes = tuple(student.shape), tuple(teacher.shape)
        if shapes[0][:1] != shapes[1][:1]:
            self.refuse('as many samples on both sides', *shapes)
        self.check(*(Shape(shape[1:]) for shape in shapes))
        student, teacher = _precise(student), _precise(teacher)
        if len(student) == 0:
            return student.sum() * 0
        # Under autocast, matrix products would be in half precision again.
        with torch.autocast(student.device.type, enabled=False):
            values = self.per_sample(student, teacher, target)
            return values.sum() / max(values.numel(), 1)

    def extra_repr(self) -> str:
        return ', '.join(
            f'{name}={value}'
            for name, value in vars(self).items()
            if name != 'training' and not name.startswith('_')
        )


def _precise(tensor: Tensor) -> Tensor:
    exact = tensor.dtype == torch.float64 or not tensor.is_floating_point()
    return tensor if exact else tensor.float()
