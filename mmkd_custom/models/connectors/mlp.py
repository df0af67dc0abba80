"""A few linear layers, with activations, from one width to another."""

from __future__ import annotations

from typing import List, Optional, Sequence

import torch.nn as nn
from mmcv.cnn import build_activation_layer
from torch import Tensor

from ...registry import MODELS
from ..options import checked_size
from .base import AnyShape, Connector


def perceptron(widths: Sequence[int], act_cfg: dict) -> nn.Sequential:
    """Returns linear layers, with an activation after each but the last."""
    layers: List[nn.Module] = []
    for width, following in zip(widths, widths[1:]):
        layers.append(nn.Linear(width, following))
        layers.append(build_activation_layer(act_cfg))
    return nn.Sequential(*layers[:-1])


@MODELS.register_module()
class MLPConnector(Connector):
    """A multi-layer perceptron between two features, or tokens one by one.

    A deeper stand-in for :class:`LinearConnector` in CustomKD (ours). What
    it puts out may take any sign.

    Args:
        source (Shape | int): A vector, or tokens.
        target (Shape | int): A vector, or as many tokens.
        hidden_channels (int, optional): Width between the layers; None means
            that of the target. Defaults to None.
        num_layers (int): Number of linear layers. Defaults to 2.
        act_cfg (dict, optional): Config of the activation; None means
            ``dict(type='GELU')``. Defaults to None.
        **kwargs: See :class:`Connector`.
    """

    def __init__(
        self,
        source: AnyShape,
        target: AnyShape,
        hidden_channels: Optional[int] = None,
        num_layers: int = 2,
        act_cfg: Optional[dict] = None,
        **kwargs,
    ) -> None:
        super().__init__(source, target, **kwargs)
        name, width = type(self).__name__, self.target.width
        hidden = width if hidden_channels is None else hidden_channels
        checked_size(f'{name}.hidden_channels', hidden)
        between = checked_size(f'{name}.num_layers', num_layers) - 1
        widths = [self.source.width, *[hidden] * between, width]
        self.layers = perceptron(widths, act_cfg or dict(type='GELU'))

    def forward(self, feature: Tensor) -> Tensor:
        """Projects features (N, D) or (N, L, D) along D."""
        return self.layers(feature)
