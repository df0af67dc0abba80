"""A few linear layers, with activations, between two feature spaces."""

from __future__ import annotations

from typing import List, Optional, Union

import torch
import torch.nn as nn
from mmcv.cnn import build_activation_layer
from mmengine.model import BaseModule

from ...registry import MODELS
from .linear import check_feature, checked_size


@MODELS.register_module()
class MLPConnector(BaseModule):
    """A multi-layer perceptron between two feature spaces.

    A deeper stand-in for :class:`LinearConnector` in CustomKD (arXiv
    2503.18244) [ours]. Every linear layer but the last is followed by the
    activation, so the outgoing feature may take any sign. Features need not
    be normalised.

    Args:
        in_channels (int): Width of the incoming feature.
        out_channels (int): Width of the outgoing feature.
        hidden_channels (int, optional): Width between the layers; None means
            ``out_channels``. Defaults to None.
        num_layers (int): Number of linear layers. Defaults to 2.
        act_cfg (dict, optional): Config of the activation; None means
            ``dict(type='GELU')``. Defaults to None.
        init_cfg (dict | list[dict], optional): MMEngine's initialisation.
            Defaults to None.

    Raises:
        UserError: If a width or ``num_layers`` is not a positive int.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        hidden_channels: Optional[int] = None,
        num_layers: int = 2,
        act_cfg: Optional[dict] = None,
        init_cfg: Optional[Union[dict, List[dict]]] = None,
    ) -> None:
        super().__init__(init_cfg=init_cfg)
        name = type(self).__name__
        self.in_channels = checked_size(name, 'in_channels', in_channels)
        self.out_channels = checked_size(name, 'out_channels', out_channels)
        if hidden_channels is None:
            hidden_channels = out_channels
        checked_size(name, 'hidden_channels', hidden_channels)
        checked_size(name, 'num_layers', num_layers)

        layers: List[nn.Module] = []
        width = in_channels
        for _ in range(num_layers - 1):
            layers.append(nn.Linear(width, hidden_channels))
            layers.append(build_activation_layer(act_cfg or dict(type='GELU')))
            width = hidden_channels
        layers.append(nn.Linear(width, out_channels))
        self.layers = nn.Sequential(*layers)

    def forward(self, feature: torch.Tensor) -> torch.Tensor:
        """Projects a pooled feature.

        Args:
            feature (Tensor): (N, in_channels).

        Returns:
            Tensor: (N, out_channels).

        Raises:
            UserError: If the feature has another shape.
        """
        check_feature(
            type(self).__name__, feature, self.in_channels, self.out_channels
        )
        return self.layers(feature)
