"""WideResNet for images of CIFAR's size."""

from __future__ import annotations

from typing import Optional, Sequence, Tuple, Union

import torch
import torch.nn as nn
import torch.nn.functional as F
from mmcv.cnn import build_norm_layer
from mmengine.utils.dl_utils.parrots_wrapper import _BatchNorm
from mmpretrain.models.backbones.base_backbone import BaseBackbone

from ...errors import UserError
from ...registry import MODELS

GROUPS = 3
STEM_CHANNELS = 16


class WideBasicBlock(nn.Module):
    """Pre-activation residual block of two 3x3 convolutions.

    Where the shapes of input and output differ, the shortcut is a 1x1
    convolution of the activated input; else it is the input itself.

    Args:
        in_channels (int): Channels of the input.
        out_channels (int): Channels of the output.
        stride (int): Of the first convolution.
        drop_rate (float): Dropout between the convolutions.
        norm_cfg (dict): Normalisation layers.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        stride: int,
        drop_rate: float,
        norm_cfg: dict,
    ) -> None:
        super().__init__()
        self.norm1 = build_norm_layer(norm_cfg, in_channels)[1]
        self.conv1 = _conv3x3(in_channels, out_channels, stride)
        self.norm2 = build_norm_layer(norm_cfg, out_channels)[1]
        self.dropout = nn.Dropout(drop_rate)
        self.conv2 = _conv3x3(out_channels, out_channels)
        self.shortcut = None
        if stride != 1 or in_channels != out_channels:
            self.shortcut = nn.Conv2d(
                in_channels, out_channels, 1, stride, bias=False
            )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, C, H, W) -> (N, C', H / stride, W / stride)."""
        active = F.relu(self.norm1(x))
        if self.shortcut is not None:
            x = self.shortcut(active)
        # In place: nothing else reads the output of this BatchNorm.
        inner = F.relu(self.norm2(self.conv1(active)), inplace=True)
        return x + self.conv2(self.dropout(inner))


@MODELS.register_module()
class WideResNet(BaseBackbone):
    """WideResNet of Zagoruyko and Komodakis (BMVC 2016, arXiv 1605.07146).

    A 3x3 convolution to 16 channels, then three groups of ``(depth - 4) / 6``
    pre-activation blocks with 16k, 32k and 64k channels, of which the second
    and third halve the resolution, then BatchNorm and ReLU. WRN-28-2 is
    ``depth=28, widen_factor=2``.

    Args:
        depth (int): 6n + 4. Defaults to 28.
        widen_factor (int): k, the width. Defaults to 2.
        drop_rate (float): Dropout between the two convolutions of a block, in
            [0, 1). Defaults to 0.
        out_indices (Sequence[int]): The groups, out of 0, 1 and 2, whose
            output is returned. That of group 2 has passed the last BatchNorm
            and ReLU. Defaults to (2, ).
        norm_cfg (dict): Normalisation layers. Defaults to BatchNorm.
        norm_eval (bool): Whether BatchNorm keeps its running statistics while
            training. Defaults to False.
        frozen_stages (int): Freeze the first convolution (0) and this many
            groups; -1 freezes nothing. Defaults to -1.
        init_cfg (dict | list[dict], optional): How to initialise. Defaults to
            Kaiming's for convolutions, as in the paper, and 1 for BatchNorm.

    Attributes:
        out_channels (int): Channels of the last output, 64k.

    Raises:
        UserError: If an option is out of range.
    """

    def __init__(
        self,
        depth: int = 28,
        widen_factor: int = 2,
        drop_rate: float = 0.0,
        out_indices: Sequence[int] = (2,),
        norm_cfg: Optional[dict] = None,
        norm_eval: bool = False,
        frozen_stages: int = -1,
        init_cfg: Union[dict, Sequence[dict], None] = (
            dict(type='Kaiming', layer=['Conv2d'], mode='fan_out'),
            dict(type='Constant', val=1, layer=['_BatchNorm', 'GroupNorm']),
        ),
    ) -> None:
        if isinstance(init_cfg, tuple):
            init_cfg = list(init_cfg)
        super().__init__(init_cfg)
        _check(depth, widen_factor, drop_rate, out_indices, frozen_stages)
        self.out_indices = tuple(out_indices)
        self.norm_eval = norm_eval
        self.frozen_stages = frozen_stages
        norm_cfg = norm_cfg or dict(type='BN')
        self.conv1 = _conv3x3(3, STEM_CHANNELS)
        channels = STEM_CHANNELS
        for group in range(GROUPS):
            width = STEM_CHANNELS * widen_factor * 2**group
            blocks = []
            for number in range((depth - 4) // 6):
                stride = 2 if group and not number else 1
                blocks.append(
                    WideBasicBlock(
                        channels, width, stride, drop_rate, norm_cfg
                    )
                )
                channels = width
            self.add_module(f'layer{group + 1}', nn.Sequential(*blocks))
        self.norm = build_norm_layer(norm_cfg, channels)[1]
        self.out_channels = channels
        self._freeze()

    def forward(self, x: torch.Tensor) -> Tuple[torch.Tensor, ...]:
        """Computes the features of images.

        Args:
            x (Tensor): Images (N, 3, H, W).

        Returns:
            tuple[Tensor]: One (N, 16k * 2**i, H / 2**i, W / 2**i) for each
            ``i`` of ``out_indices``.
        """
        x = self.conv1(x)
        outs = []
        for group in range(GROUPS):
            x = getattr(self, f'layer{group + 1}')(x)
            if group == GROUPS - 1:
                x = F.relu(self.norm(x), inplace=True)
            if group in self.out_indices:
                outs.append(x)
        return tuple(outs)

    def train(self, mode: bool = True) -> WideResNet:
        """Sets the mode; what is frozen, and by option BatchNorm, stays."""
        super().train(mode)
        self._freeze()
        if mode and self.norm_eval:
            for module in self.modules():
                if isinstance(module, _BatchNorm):
                    module.eval()
        return self

    def _freeze(self) -> None:
        if self.frozen_stages < 0:
            return
        frozen = [self.conv1]
        frozen += [
            getattr(self, f'layer{group + 1}')
            for group in range(self.frozen_stages)
        ]
        if self.frozen_stages == GROUPS:
            frozen.append(self.norm)
        for module in frozen:
            module.eval()
            module.requires_grad_(False)


def _conv3x3(
    in_channels: int, out_channels: int, stride: int = 1
) -> nn.Conv2d:
    return nn.Conv2d(
        in_channels, out_channels, 3, stride, padding=1, bias=False
    )


def _check(
    depth: int,
    widen_factor: int,
    drop_rate: float,
    out_indices: Sequence[int],
    frozen_stages: int,
) -> None:
    if not isinstance(depth, int) or depth < 10 or (depth - 4) % 6:
        raise UserError(
            'WideResNet: depth is 6n + 4, such as 10, 16, 28 or 40, but got '
            f'{depth!r}.'
        )
    if not isinstance(widen_factor, int) or widen_factor < 1:
        raise UserError(
            'WideResNet: widen_factor is a whole number >= 1, but got '
            f'{widen_factor!r}.'
        )
    if not isinstance(drop_rate, (int, float)) or not 0 <= drop_rate < 1:
        raise UserError(
            f'WideResNet: drop_rate is in [0, 1), but got {drop_rate!r}.'
        )
    groups = set(range(GROUPS))
    if (
        not isinstance(out_indices, (list, tuple))
        or not out_indices
        or not set(out_indices) <= groups
    ):
        raise UserError(
            'WideResNet: out_indices are one or more of 0, 1 and 2, but got '
            f'{out_indices!r}.'
        )
    if frozen_stages not in range(-1, GROUPS + 1):
        raise UserError(
            'WideResNet: frozen_stages is -1, 0, 1, 2 or 3, but got '
            f'{frozen_stages!r}.'
        )
