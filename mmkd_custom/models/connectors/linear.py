"""One linear layer from one feature space to another."""

from __future__ import annotations

from typing import Any, List, Optional, Union

import torch
import torch.nn as nn
from mmengine.model import BaseModule

from ...errors import UserError
from ...registry import MODELS


def checked_size(connector: str, option: str, value: Any) -> int:
    """Gives an option of a connector that must be a positive integer.

    Args:
        connector (str): Name of the connector, for the error.
        option (str): Name of the option, for the error.
        value (Any): What the user set.

    Returns:
        int: The value.

    Raises:
        UserError: If the value is not a positive int.
    """
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise UserError(
            f'{connector}: {option}={value!r} was set, but a positive '
            'integer is wanted.'
        )
    return value


def check_feature(
    connector: str, feature: torch.Tensor, in_channels: int, out_channels: int
) -> None:
    """Checks that a connector can take a feature.

    Args:
        connector (str): Name of the connector, for the error.
        feature (Tensor): What came; (N, in_channels) is wanted.
        in_channels (int): Width the connector takes.
        out_channels (int): Width the connector gives, for the error.

    Raises:
        UserError: If the feature has another shape.
    """
    if feature.dim() != 2 or feature.shape[1] != in_channels:
        raise UserError(
            f'{connector}: the feature has shape {tuple(feature.shape)}, but '
            f'(N, {in_channels}) is wanted by this connector to '
            f'(N, {out_channels}); set in_channels to the width of the '
            'pooled feature.'
        )


@MODELS.register_module()
class LinearConnector(BaseModule):
    """One linear layer between two feature spaces.

    The projections of CustomKD (arXiv 2503.18244): theta_t^h takes the
    teacher's feature to the student's width in stage 1, theta_s^h the
    student's to the teacher's in stage 2. One layer each [2nd]; its weights
    start as PyTorch's ``nn.Linear`` does [ours]. Features need not be
    normalised.

    Args:
        in_channels (int): Width of the incoming feature.
        out_channels (int): Width of the outgoing feature.
        bias (bool): Whether the layer has a bias. Defaults to True.
        init_cfg (dict | list[dict], optional): MMEngine's initialisation.
            Defaults to None.

    Raises:
        UserError: If a width is not a positive int.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        bias: bool = True,
        init_cfg: Optional[Union[dict, List[dict]]] = None,
    ) -> None:
        super().__init__(init_cfg=init_cfg)
        name = type(self).__name__
        self.in_channels = checked_size(name, 'in_channels', in_channels)
        self.out_channels = checked_size(name, 'out_channels', out_channels)
        self.fc = nn.Linear(in_channels, out_channels, bias=bias)

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
        return self.fc(feature)
