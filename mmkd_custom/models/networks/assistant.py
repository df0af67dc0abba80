"""A network between teacher and student, and what it has not learnt."""

from __future__ import annotations

from typing import Any, Optional, Sequence, Union

import torch.nn as nn

from ...registry import MODELS
from ...stages import TEACHER
from ..batch import Batch
from ..outputs import FEATURE, Outputs, Shape
from ..source import Source
from .peer import Peer

TAUGHT, RESIDUAL = 'more.taught', 'more.residual'


@MODELS.register_module()
class Assistant(Peer):
    r"""A classifier that learns from the teacher and teaches the student.

    .. math:: ta = W f_a, \quad r = ta - t

    MonoTAKD (arXiv 2404.04910, for detection) has the student learn ta, which
    is nearer to it than the teacher's t, and in a branch of its own what the
    assistant lacks: MSE(s, ta) + 0.2 MSE(s_r, r). It offers what a student
    does, ``more.taught``, ta, and ``more.residual``, r:

    .. code:: python

        networks=dict(assistant=dict(type='Assistant', model=dict(...))),
        terms=dict(
            learn=dict(loss=dict(type='MSE'),
                       on=('assistant.more.taught', 'teacher.feature')),
            assist=dict(loss=dict(type='MSE'),
                        on=('student.feature', 'assistant.more.taught'),
                        connector=dict(type='LinearConnector')),
            residual=dict(loss=dict(type='MSE'), weight=0.2,
                          on=('student.feature', 'assistant.more.residual'),
                          connector=dict(type='LinearConnector')))

    Ours: the assistant is trained alongside, and sees what the student sees.

    Args:
        model (dict | nn.Module): Any MMPretrain classifier of as many
            classes.
        of (str): The teacher. Defaults to 'teacher'.

    Raises:
        UserError: If there is no such teacher, or the model is no classifier.
    """

    def __init__(
        self, model: Union[dict, nn.Module], of: str = TEACHER
    ) -> None:
        super().__init__(model)
        self.of = (Source(of, None, FEATURE),)

    def attach(self, distiller: Any) -> None:
        """Builds the classifier, and the layer to the teacher's width."""
        super().attach(distiller)
        shape = distiller.shape_of(self.of[0])
        self.fc = nn.Linear(self.shapes[FEATURE].width, shape.width)
        self.shapes.update({TAUGHT: Shape(shape.sizes), RESIDUAL: shape})

    def ask(
        self, batch: Batch, wants: Sequence[str], view: Optional[str] = None
    ) -> Outputs:
        """Runs the classifier once; (N, D_t) of both outputs more."""
        said = super().ask(batch, wants, view)
        if TAUGHT in wants or RESIDUAL in wants:
            taught = self.fc(said.feature)
            teacher = batch.get(self.of[0])
            if batch.mixup is not None:
                # As the images that this has seen.
                teacher = batch.mixup.mix(teacher)
            said.more.update(taught=taught, residual=taught - teacher)
        return said
