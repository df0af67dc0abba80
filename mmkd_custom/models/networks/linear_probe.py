"""A linear classifier on another network's feature, trained alongside."""

from __future__ import annotations

from typing import Any, Optional, Sequence

import torch.nn as nn

from ...registry import MODELS
from ..batch import Batch
from ..outputs import FEATURE, LOGITS, Outputs, Shape
from ..source import Source
from .base import OwnedNetwork


@MODELS.register_module()
class LinearProbe(OwnedNetwork):
    """Logits of the task for a network without a head for it.

    A term on ``('probe.logits', 'batch.targets')`` trains it. Its gradient
    reaches neither the network nor, the right side of a term being detached,
    the student.

    Args:
        of (str): The network whose feature it takes. Defaults to 'teacher'.
    """

    def __init__(self, of: str = 'teacher') -> None:
        super().__init__()
        self.of = (Source(of, None, FEATURE),)

    def attach(self, distiller: Any) -> None:
        """Builds the layer: that feature -> the student's classes."""
        width = distiller.shape_of(self.of[0]).width
        self.fc = nn.Linear(width, distiller.student_view.num_classes)
        self.shapes = {LOGITS: Shape((self.fc.out_features,))}

    def ask(
        self, batch: Batch, wants: Sequence[str], view: Optional[str] = None
    ) -> Outputs:
        """Classifies what the other network has said; logits (N, C)."""
        return Outputs(logits=self.fc(batch.get(self.of[0]).detach()))
