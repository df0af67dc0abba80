"""A few linear layers, with activations, from one width to another."""

from __future__ import annotations

from typing import List, Optional, Sequence

import torch.nn as nn
from mmcv.cnn import build_activation_layer, build_norm_layer
from torch import Tensor

from ...errors import UserError
from ...registry import MODELS
from ..options import checked_size
from .base import AnyShape, Connector


def perceptron(
    widths: Sequence[int],
    act_cfg: dict,
    norm_cfg: Optional[dict] = None,
    bias: bool = True,
) -> nn.Sequential:
    """Returns linear layers, with norm and activation after all but the last.

    Args:
        widths (Sequence[int]): From the source's to the target's.
        act_cfg (dict): Config of the activation.
        norm_cfg (dict, optional): Config of the norm. Defaults to None.
        bias (bool): Whether the layers have biases. Defaults to True.
    """
    layers: List[nn.Module] = []
    for width, following in zip(widths, widths[1:-1]):
        layers.append(nn.Linear(width, following, bias=bias))
        if norm_cfg is not None:
            layers.append(build_norm_layer(norm_cfg, following)[1])
        layers.append(build_activation_layer(act_cfg))
    return nn.Sequential(*layers, nn.Linear(*widths[-2:], bias=bias))


@MODELS.register_module()
class MLPConnector(Connector):
    """A multi-layer perceptron between two features, or tokens one by one.

    A deeper stand-in for :class:`LinearConnector` in CustomKD (ours). What
    it puts out may take any sign. The projector of RSD (arXiv 2507.21844),
    Linear(D_s -> 2 D_s), BatchNorm, GELU, Linear(-> D_t) without biases, is
    ``dict(expansion=2, norm_cfg=dict(type='BN1d'), bias=False)``.

    Args:
        source (Shape | int): A vector, or tokens.
        target (Shape | int): A vector, or as many tokens.
        hidden_channels (int, optional): Width between the layers; None means
            that of the target. Defaults to None.
        num_layers (int): Number of linear layers. Defaults to 2.
        act_cfg (dict, optional): Config of the activation; None means
            ``dict(type='GELU')``. Defaults to None.
        expansion (int, optional): The width between the layers as a multiple
            of the source's, in place of ``hidden_channels``. Defaults to
            None.
        norm_cfg (dict, optional): Config of a norm before each activation,
            over images and tokens. Defaults to None.
        bias (bool): Whether the layers have biases. Defaults to True.
        **kwargs: See :class:`Connector`.

    Raises:
        UserError: If a size is none, or two widths are given.
    """

    def __init__(
        self,
        source: AnyShape,
        target: AnyShape,
        hidden_channels: Optional[int] = None,
        num_layers: int = 2,
        act_cfg: Optional[dict] = None,
        expansion: Optional[int] = None,
        norm_cfg: Optional[dict] = None,
        bias: bool = True,
        **kwargs,
    ) -> None:
        super().__init__(source, target, **kwargs)
        name, width = type(self).__name__, self.target.width
        hidden = width if hidden_channels is None else hidden_channels
        checked_size(f'{name}.hidden_channels', hidden)
        if expansion is not None:
            checked_size(f'{name}.expansion', expansion)
            if hidden_channels is not None:
                raise UserError(
                    f'{name}.expansion: expected it or hidden_channels, got '
                    f'{expansion} and {hidden_channels}.'
                )
            hidden = expansion * self.source.width
        between = checked_size(f'{name}.num_layers', num_layers) - 1
        widths = [self.source.width, *[hidden] * between, width]
        act_cfg = act_cfg or dict(type='GELU')
        self.layers = perceptron(widths, act_cfg, norm_cfg, bias)

    def forward(self, feature: Tensor) -> Tensor:
        """Projects features (N, D) or (N, L, D) along D."""
        # (N, L, D) -> (N * L, D): a norm sees tokens as images.
        found = self.layers(feature.flatten(0, -2))
        return found.unflatten(0, feature.shape[:-1])
