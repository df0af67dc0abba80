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

    A loss writes that method, says which shapes it takes, and keeps each
    option in an attribute of the option's name, which the repr shows. It
    knows no model, no weight and no schedule. What it learns is in
    parameters, what it remembers of earlier batches in buffers, the same in
    all processes, that change in training mode only; most have neither. Those
    whose size is that of a side are made in :meth:`check`, when a model is
    built: an optimiser and a checkpoint want to see them.

    Attributes:
        kinds (tuple[str]): Kinds of shape that both sides may have.
        equal (str): What of the shapes is equal: 'shape'; 'positions', their
            number, for any widths; or 'samples', for any shapes.
        needs_target (bool): Whether it says nothing without a label. A term
            of images that have none is then refused.
        num_classes (int, optional): Number of classes of the labels; a term
            tells it to a loss that needs them.
    """

    kinds: Tuple[str, ...] = ('vector',)
    equal = 'shape'
    needs_target = False
    num_classes: Optional[int] = None

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
        fits = dict(
            shape=student.sizes == teacher.sizes,
            positions=student.positions == teacher.positions,
            samples=True,
        )
        if not fits[self.equal] or not (
            {student.kind, teacher.kind} <= {*self.kinds}
        ):
            what = dict(
                shape='two equal shapes',
                positions='as many positions on both sides',
                samples='two shapes',
            )
            expected = f'{what[self.equal]}, {" or ".join(self.kinds)}'
            self.refuse(expected, student, teacher)

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
            UserError: If the shapes do not fit, or it needs a target and gets
                none.
        """
        shapes = tuple(student.shape), tuple(teacher.shape)
        if shapes[0][:1] != shapes[1][:1]:
            self.refuse('as many samples on both sides', *shapes)
        self.check(*(Shape(shape[1:]) for shape in shapes))
        student, teacher = _precise(student), _precise(teacher)
        if self.needs_target and target is None:
            name = type(self).__name__
            raise UserError(f'{name}: expected labels as target, got None.')
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
