"""What every loss promises: shapes that fit, float32, a mean."""

from __future__ import annotations

from typing import Optional, Tuple

import torch
import torch.nn as nn

from ...errors import UserError
from ..outputs import Shape


class Loss(nn.Module):
    """Compares what the student says with what it is to say.

    ::

        L = 1 / M * sum_m v[m]

    over the M values of :meth:`per_sample`. A loss writes that method, names
    the ``kinds`` of shape it compares, and keeps each option in an attribute
    of the option's name, which the repr shows. It knows no model, no weight
    and no schedule.

    Attributes:
        kinds (tuple[str]): Kinds of :class:`Shape` that both sides may have.
    """

    kinds: Tuple[str, ...] = ('vector',)

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
            raise self.misfit(f'{kinds} of equal sizes', student, teacher)

    def misfit(
        self, expected: str, student: Shape, teacher: Shape
    ) -> UserError:
        """Returns the error of two shapes that cannot be compared."""
        return UserError(
            f'{type(self).__name__}: expected {expected}, got {student} and '
            f'{teacher}.'
        )

    def forward(
        self,
        student: torch.Tensor,
        teacher: torch.Tensor,
        target: Optional[torch.Tensor] = None,
    ) -> torch.Tensor:
        """Computes the mean over the values of all samples.

        Args:
            student (Tensor): (N, ...), see :meth:`per_sample`.
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
        if student.shape[:1] != teacher.shape[:1]:
            raise UserError(
                f'{type(self).__name__}: expected as many samples on both '
                f'sides, got {tuple(student.shape)} and '
                f'{tuple(teacher.shape)}.'
            )
        self.check(
            Shape(tuple(student.shape[1:])), Shape(tuple(teacher.shape[1:]))
        )
        student, teacher = _at_least_float32(student, teacher)
        if len(student) == 0:
            return student.sum() * 0
        # Products of matrices would be in half precision again.
        with torch.autocast(student.device.type, enabled=False):
            values = self.per_sample(student, teacher, target)
            return values.sum() / max(values.numel(), 1)

    def per_sample(
        self,
        student: torch.Tensor,
        teacher: torch.Tensor,
        target: Optional[torch.Tensor] = None,
    ) -> torch.Tensor:
        """Computes the values whose mean is the loss.

        Args:
            student (Tensor): (N, ...) with N > 0, float32 or float64.
            teacher (Tensor): (N, ...), likewise unless it is an index.
            target (Tensor, optional): Class indices (N,), negative where
                there is no label. Defaults to None.

        Returns:
            Tensor: (N,), or (N, ...) of which the mean is taken. Samples
            that do not count are left out.
        """
        raise NotImplementedError

    def extra_repr(self) -> str:
        return ', '.join(
            f'{name}={value}'
            for name, value in vars(self).items()
            if name != 'training' and not name.startswith('_')
        )


def _at_least_float32(*tensors: torch.Tensor) -> Tuple[torch.Tensor, ...]:
    exact = torch.float64
    return tuple(
        t.float() if t.is_floating_point() and t.dtype != exact else t
        for t in tensors
    )
