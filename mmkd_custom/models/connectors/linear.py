"""One linear layer from one width to another."""

from __future__ import annotations

import torch.nn as nn
from torch import Tensor

from ...registry import MODELS
from .base import AnyShape, Connector


@MODELS.register_module()
class LinearConnector(Connector):
    """One linear layer between two features, or between tokens one by one.

    The projections of CustomKD (arXiv 2503.18244): theta_t^h takes the
    teacher's feature to the student's width in stage 1, theta_s^h the
    student's to the teacher's in stage 2. It starts as PyTorch's
    ``nn.Linear`` does (ours: docs/methods.md, CustomKD).

    Args:
        source (Shape | int): A vector, or tokens.
        target (Shape | int): A vector, or as many tokens.
        bias (bool): Whether the layer has a bias. Defaults to True.
        **kwargs: See :class:`Connector`.
    """

    def __init__(
        self, source: AnyShape, target: AnyShape, bias: bool = True, **kwargs
    ) -> None:
        super().__init__(source, target, **kwargs)
        self.fc = nn.Linear(self.source.width, self.target.width, bias=bias)

    def forward(self, feature: Tensor) -> Tensor:
        """Projects features (N, D) or (N, L, D) along D."""
        return self.fc(feature)
