"""The feature itself, and a small learnt change."""

from __future__ import annotations

from typing import Optional

import torch.nn as nn
from torch import Tensor

from ...registry import MODELS
from ..options import checked_size, checked_weight
from ..outputs import Shape
from .base import AnyShape, Connector


@MODELS.register_module()
class ResidualConnector(Connector):
    r"""A feature plus a scaled perceptron of it, at first the feature alone.

    .. math:: f' = f + \alpha W_2 \, \mathrm{GELU}(W_1 f), \quad
              W_2 = 0 \text{ at first}

    FROSTER (arXiv 2402.03241): what is compared may move away from the
    student's feature, but not far. With ``Cosine`` it starts as the plain
    cosine distance.

    Args:
        source (Shape | int): A vector, or tokens.
        target (Shape | int): The same shape.
        scale (float): alpha. Defaults to 0.1.
        hidden_channels (int, optional): Between both layers; None is the
            width of the feature (ours). Defaults to None.
        **kwargs: See :class:`Connector`.
    """

    condition = 'of one width'

    def __init__(
        self,
        source: AnyShape,
        target: AnyShape,
        scale: float = 0.1,
        hidden_channels: Optional[int] = None,
        **kwargs,
    ) -> None:
        super().__init__(source, target, **kwargs)
        name, width = type(self).__name__, self.source.width
        hidden = width if hidden_channels is None else hidden_channels
        checked_size(f'{name}.hidden_channels', hidden)
        self.scale = checked_weight(f'{name}.scale', scale)
        self.layers = nn.Sequential(
            nn.Linear(width, hidden), nn.GELU(), nn.Linear(hidden, width)
        )
        for parameter in self.layers[2].parameters():
            nn.init.zeros_(parameter)

    @classmethod
    def fits(cls, source: Shape, target: Shape) -> bool:
        """Whether both are vectors, or tokens, of one shape."""
        return super().fits(source, target) and source.sizes == target.sizes

    def forward(self, feature: Tensor) -> Tensor:
        """Changes features (N, D) or (N, L, D) along D."""
        return feature + self.scale * self.layers(feature)
