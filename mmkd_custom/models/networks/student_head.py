"""One more linear head on the student's feature."""

from __future__ import annotations

from typing import Any, Optional, Sequence, Tuple

import torch.nn as nn

from ...errors import UserError
from ...registry import MODELS
from ...stages import STUDENT
from ..batch import Batch
from ..outputs import FEATURE, LOGITS, Outputs, Shape
from ..source import Source
from .base import OwnedNetwork


@MODELS.register_module()
class StudentHead(OwnedNetwork):
    """Logits of a layer of its own, whose gradient reaches the student.

    DHO's distillation head (arXiv 2505.07675): the student's own layer learns
    from labels alone, this one from the teacher, so that neither pulls the
    other. MDCS's experts (arXiv 2308.09922), of which the student's own layer
    is one. ``like`` gives it the classes of another network: a head for each
    source model (DistillWeighted). It is left behind at export unless
    ``FoldHeadsHook`` folds it into the student's own layer.

    ``student@strong.logits`` of a head named ``expert`` are
    ``expert@strong.logits``.

    Args:
        of (str): A vector that a network says. Defaults to
            'student.feature'.
        like (str, optional): Logits of another network whose classes it has.
            Defaults to None, the student's classes.

    Raises:
        UserError: If ``of`` is no vector, or ``like`` no logits.
    """

    view = STUDENT

    def __init__(
        self, of: str = f'{STUDENT}.{FEATURE}', like: Optional[str] = None
    ) -> None:
        super().__init__()
        self.of, self.like = (Source.parse(of),), like

    def attach(self, distiller: Any) -> None:
        """Builds the layer, with a bias if the student's own has one."""
        name, found = type(self).__name__, distiller.shape_of(self.of[0])
        classes = distiller.student_view.num_classes
        if self.like is not None:
            other = distiller.shape_of(Source.parse(self.like))
            if other.kind != 'vector':
                raise UserError(
                    f'{name}.like: expected logits, got {self.like}, {other}.'
                )
            classes = other.width
        if found.kind != 'vector':
            raise UserError(
                f'{name}.of: expected a vector, got {self.of[0]}, {found}.'
            )
        own = distiller.student_view.classifier.bias is not None
        self.fc = nn.Linear(found.width, classes, bias=own)
        self.shapes = {LOGITS: Shape((classes,))}

    def needs(self, view: Optional[str] = None) -> Tuple[Source, ...]:
        """Names the same place of the view that it is asked about."""
        return tuple(s._replace(view=view or s.view) for s in self.of)

    def ask(
        self, batch: Batch, wants: Sequence[str], view: Optional[str] = None
    ) -> Outputs:
        """Classifies what the student has said; logits (N, C)."""
        (source,) = self.needs(view)
        return Outputs(logits=self.fc(batch.get(source)))
