"""A feature, drawn to a few learnt prototypes."""

from __future__ import annotations

import torch
import torch.nn as nn
from torch import Tensor

from ...registry import MODELS
from ..options import checked_positive, checked_size
from .base import AnyShape, Connector


@MODELS.register_module()
class PrototypeConnector(Connector):
    r"""A projected feature plus a soft choice among K prototypes.

    .. math:: g = W f + b, \quad
              f' = g + \mathrm{softmax}(g P^\top / \tau) P

    After ProC-KD and MulKI, whose own equations are not public: what many
    images share is in P (K, D_t), and the student's feature has to tell only
    which. K = 1 adds a constant. The projection, that P starts from a normal
    distribution of deviation .02, and all defaults are ours.

    Args:
        source (Shape | int): A vector, or tokens.
        target (Shape | int): A vector, or as many tokens.
        num_prototypes (int): K. Defaults to 16.
        temperature (float): tau. Defaults to 1.0.
        **kwargs: See :class:`Connector`.
    """

    def __init__(
        self,
        source: AnyShape,
        target: AnyShape,
        num_prototypes: int = 16,
        temperature: float = 1.0,
        **kwargs,
    ) -> None:
        super().__init__(source, target, **kwargs)
        name, width = type(self).__name__, self.target.width
        count = checked_size(f'{name}.num_prototypes', num_prototypes)
        self.temperature = checked_positive(f'{name}.temperature', temperature)
        self.fc = nn.Linear(self.source.width, width)
        self.prototypes = nn.Parameter(0.02 * torch.randn(count, width))

    def forward(self, feature: Tensor) -> Tensor:
        """Projects features (N, D) or (N, L, D) along D."""
        feature = self.fc(feature)
        likeness = feature @ self.prototypes.T / self.temperature
        return feature + likeness.softmax(-1) @ self.prototypes
