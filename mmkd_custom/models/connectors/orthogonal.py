"""A linear layer that keeps lengths and angles."""

from __future__ import annotations

import torch
import torch.nn as nn
import torch.nn.functional as F
from torch import Tensor
from torch.nn.utils.parametrizations import orthogonal

from ...registry import MODELS
from .base import AnyShape, Connector


@MODELS.register_module()
class OrthogonalConnector(Connector):
    r"""A linear layer without bias whose weight stays orthogonal (VkD).

    .. math:: z = f W, \quad W W^\top = I

    with W (D_s, D_t): inner products of two features are those of their
    projections, so that only the student can learn what is distilled (VkD,
    arXiv 2403.06213). Of a student that is wider than its teacher
    :math:`W^\top W = I`: so it is of the part that is seen. The teacher's
    side is normalised by the loss, ``SmoothL1(layer_norm=True)``. That W is
    parametrized by PyTorch's ``orthogonal`` is ours.

    Args:
        source (Shape | int): A vector, or tokens.
        target (Shape | int): A vector, or as many tokens.
        **kwargs: See :class:`Connector`.
    """

    def __init__(self, source: AnyShape, target: AnyShape, **kwargs) -> None:
        super().__init__(source, target, **kwargs)
        width = self.source.width
        self.fc = orthogonal(nn.Linear(width, self.target.width, bias=False))

    def forward(self, feature: Tensor) -> Tensor:
        """Projects features (N, D) or (N, L, D) along D."""
        # In half precision it would be orthogonal to three digits alone.
        with torch.autocast(feature.device.type, enabled=False):
            weight = self.fc.weight
        return F.linear(feature, weight)
