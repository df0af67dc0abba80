"""A linear classifier on another network's feature."""

from __future__ import annotations

from typing import Any, Optional, Sequence

import torch
import torch.nn as nn

from ...errors import UserError
from ...registry import MODELS
from ..batch import Batch
from ..outputs import FEATURE, LOGITS, Outputs, Shape
from ..source import Source
from .base import OwnedNetwork


@MODELS.register_module()
class LinearProbe(OwnedNetwork):
    """Logits of the task for a network without a head for it.

    A term on ``('probe.logits', 'batch.targets')`` trains it alongside. Its
    gradient reaches neither the network nor, the right side of a term being
    detached, the student. With ``fitted`` it needs no term: ``FitProbeHook``
    fits it to the labelled images before the first step, and then it stays
    as it is.

    Args:
        of (str): The network whose feature it takes. Defaults to 'teacher'.
        fitted (bool): Whether it is fitted ahead. Defaults to False.
    """

    def __init__(self, of: str = 'teacher', fitted: bool = False) -> None:
        super().__init__()
        self.of = (Source(of, None, FEATURE),)
        self.fitted = self._unsure = fitted
        if fitted:
            self.ahead = self.of

    def attach(self, distiller: Any) -> None:
        """Builds the layer: that feature -> the student's classes."""
        width = distiller.shape_of(self.of[0]).width
        self.fc = nn.Linear(width, distiller.student_view.num_classes)
        self.fc.requires_grad_(not self.fitted)
        if self.fitted:
            # In the checkpoints: a resumed run is not fitted anew.
            self.register_buffer('filled', torch.tensor(False))
        self.shapes = {LOGITS: Shape((self.fc.out_features,))}

    @torch.no_grad()
    def fill(self, weight: torch.Tensor, bias: torch.Tensor) -> None:
        """Takes over what was fitted.

        Args:
            weight (Tensor): (C, D), for the feature as it comes.
            bias (Tensor): (C,).
        """
        self.fc.weight.copy_(weight)
        self.fc.bias.copy_(bias)
        self.filled.fill_(True)

    def ask(
        self, batch: Batch, wants: Sequence[str], view: Optional[str] = None
    ) -> Outputs:
        """Classifies what the other network has said; logits (N, C).

        Raises:
            UserError: If it is fitted ahead and has not been.
        """
        # Looked at until it holds, lest every step wait for the device.
        self._unsure = self._unsure and not self.filled
        if self._unsure:
            raise UserError(
                f'{type(self).__name__}: expected its weights before the '
                "first step; add dict(type='mmkd_custom.FitProbeHook') to "
                'custom_hooks.'
            )
        return Outputs(logits=self.fc(batch.get(self.of[0]).detach()))
