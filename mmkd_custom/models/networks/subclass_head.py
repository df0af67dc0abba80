"""Pseudo-subclasses of the teacher's feature, and a head that tells them."""

from __future__ import annotations

from typing import Any, Optional, Sequence, Tuple

import torch
import torch.nn as nn

from ...errors import UserError
from ...registry import MODELS
from ...stages import STUDENT, TEACHER
from ..batch import Batch
from ..options import checked_positive, checked_size
from ..outputs import FEATURE, LOGITS, Outputs, Shape
from ..source import Source
from .base import OwnedNetwork

LABELS = 'more.labels'


@MODELS.register_module()
class SubclassHead(OwnedNetwork):
    r"""A second head of S subclasses a class, and the teacher's word on them.

    .. math:: p_{c,s} = p_t(c) \, \mathrm{softmax}_s
              (\beta \langle v_{c,s}, h - \mu_c \rangle)

    with the teacher's feature h, and of each class the mean :math:`\mu_c` and
    the S first principal directions v off the row space of a linear
    classifier: where the classes agree, their images still differ. LELP
    (arXiv 2409.20449) so gives a student of few classes more to learn. Over a
    class the subclasses sum to p_t(c), and S = 1 is the soft target.

    It offers ``logits`` (N, C S) on the student's feature, and
    ``more.labels``, p (N, C S): a term of ``CrossEntropy`` compares them.
    ``SubclassHook`` finds means and directions before the first step.

    Ours: the student keeps its own head, and this one is left behind at
    export; v is divided by the deviation along it, so that beta needs no
    unit; the classifier is one fitted to the labelled images.

    Args:
        logits (str): Whose softmax p_t is. Defaults to 'teacher.logits'.
        of (str): The teacher whose feature is h. Defaults to 'teacher'.
        subclasses (int): S. Defaults to 4.
        sharpness (float): beta. Defaults to 1.0.

    Raises:
        UserError: If a number has no such value, or the logits are of other
            classes.
    """

    view = STUDENT

    def __init__(
        self,
        logits: str = f'{TEACHER}.{LOGITS}',
        of: str = TEACHER,
        subclasses: int = 4,
        sharpness: float = 1.0,
    ) -> None:
        super().__init__()
        name = type(self).__name__
        self.teacher = of
        self.subclasses = checked_size(f'{name}.subclasses', subclasses)
        self.sharpness = checked_positive(f'{name}.sharpness', sharpness)
        self.of = (
            Source(STUDENT, None, FEATURE),
            Source(of, None, FEATURE),
            Source.parse(logits),
        )
        self.ahead = (self.of[1],)
        self._filled = False

    def attach(self, distiller: Any) -> None:
        """Builds the layer, and room for means and directions."""
        if self.teacher not in distiller.teachers:
            raise UserError(
                f'{type(self).__name__}.of: expected one of the teachers '
                f'{", ".join(distiller.teachers)}, got {self.teacher!r}.'
            )
        view = distiller.student_view
        shape, classes = distiller.shape_of(self.of[2]), view.num_classes
        if shape.sizes != (classes,):
            raise UserError(
                f'{type(self).__name__}.logits: expected those of the '
                f"student's {classes} classes, got {self.of[2]}, {shape}."
            )
        width = distiller.shape_of(self.of[1]).width
        count = classes * self.subclasses
        self.fc = nn.Linear(view.feature_dim, count)
        self.register_buffer('means', torch.zeros(classes, width))
        sizes = classes, self.subclasses, width
        self.register_buffer('directions', torch.zeros(sizes))
        self.shapes = {LOGITS: Shape((count,)), LABELS: Shape((count,))}

    def fill(self, means: torch.Tensor, directions: torch.Tensor) -> None:
        """Takes over what was found.

        Args:
            means (Tensor): (C, D_t).
            directions (Tensor): (C, S, D_t).
        """
        self.means.copy_(means)
        self.directions.copy_(directions)
        self._filled = True

    def needs(self, view: Optional[str] = None) -> Tuple[Source, ...]:
        """Names the student's feature of the view that it is asked about."""
        return (self.of[0]._replace(view=view), *self.of[1:])

    def ask(
        self, batch: Batch, wants: Sequence[str], view: Optional[str] = None
    ) -> Outputs:
        """Tells subclasses from the student's feature, and the teacher's.

        Raises:
            UserError: If nothing has been found.
        """
        student, teacher, logits = map(batch.get, self.needs(view))
        said = Outputs(logits=self.fc(student) if LOGITS in wants else None)
        if LABELS in wants:
            labels = self.label(teacher, logits.detach())
            if batch.mixup is not None:
                labels = batch.mixup.mix(labels)
            said.more['labels'] = labels
        return said

    def label(
        self, feature: torch.Tensor, logits: torch.Tensor
    ) -> torch.Tensor:
        """Divides the probability of each class among its subclasses.

        Args:
            feature (Tensor): h (N, D_t).
            logits (Tensor): z_t (N, C).

        Returns:
            Tensor: p (N, C S), class by class.
        """
        if not self._filled:
            raise UserError(
                f'{type(self).__name__}: expected its directions before the '
                "first step; add dict(type='mmkd_custom.SubclassHook') to "
                'custom_hooks.'
            )
        with torch.autocast(feature.device.type, enabled=False):
            # <v, h - mu> as <v, h> - <v, mu>: (N, C, S)
            along = torch.einsum('nd,csd->ncs', feature, self.directions)
            along = along - (self.directions * self.means[:, None]).sum(2)
            shares = (self.sharpness * along).softmax(2)
            return (logits.float().softmax(1)[..., None] * shares).flatten(1)

    def _load_from_state_dict(self, *args: Any, **kwargs: Any) -> None:
        super()._load_from_state_dict(*args, **kwargs)
        # Only what a run has saved comes this way.
        self._filled = True
