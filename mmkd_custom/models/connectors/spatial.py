"""From a map or tokens of one grid to a map or tokens of another."""

from __future__ import annotations

from typing import Optional, Tuple

import torch.nn as nn
import torch.nn.functional as F
from mmcv.cnn import build_norm_layer
from torch import Tensor

from ...registry import MODELS
from ..outputs import Shape
from .base import Connector


@MODELS.register_module()
class SpatialConnector(Connector):
    """A 1x1 convolution between two grids, of maps or of tokens (ours).

    Tokens are laid out by their grid and read off row by row. Along an axis
    where the target has fewer positions the source is averaged (adaptive
    pooling): interpolation would pass over most of them. Where it has more,
    the result is interpolated bilinearly. The convolution stands between, on
    the smaller grid; without a norm its place changes nothing but the work.

    Args:
        source (Shape): A map, or tokens with a grid.
        target (Shape): A map, or tokens with a grid.
        norm_cfg (dict, optional): Config of a norm behind the convolution,
            such as ``dict(type='BN')``. Defaults to None.
        **kwargs: See :class:`Connector`.
    """

    takes = gives = ('map', 'tokens')
    condition = 'tokens with a grid'

    def __init__(
        self,
        source: Shape,
        target: Shape,
        norm_cfg: Optional[dict] = None,
        **kwargs,
    ) -> None:
        super().__init__(source, target, **kwargs)
        width, bias = self.target.width, norm_cfg is None
        self.project = nn.Sequential(
            nn.Conv2d(self.source.width, width, 1, bias=bias)
        )
        if norm_cfg is not None:
            self.project.append(build_norm_layer(norm_cfg, width)[1])

    @classmethod
    def fits(cls, source: Shape, target: Shape) -> bool:
        """Whether both are maps, or tokens with a grid."""
        return None not in (grid_of(source), grid_of(target))

    def forward(self, x: Tensor) -> Tensor:
        """Projects and resamples maps (N, C, h, w) or tokens (N, L, D)."""
        grid = grid_of(self.target)
        if self.source.kind == 'tokens':
            # (N, L, D) -> (N, D, h, w)
            x = x.transpose(1, 2).unflatten(2, grid_of(self.source))
        fewer = tuple(map(min, x.shape[2:], grid))
        if fewer != x.shape[2:]:
            x = F.adaptive_avg_pool2d(x, fewer)
        x = self.project(x)
        if fewer != grid:
            x = F.interpolate(x, size=grid, mode='bilinear')
        # (N, D, h, w) -> (N, L, D)
        return x if self.target.kind == 'map' else x.flatten(2).transpose(1, 2)


def grid_of(shape: Shape) -> Optional[Tuple[int, int]]:
    """Returns (h, w) of a map, or of tokens that have a grid."""
    return tuple(shape.sizes[1:]) if shape.kind == 'map' else shape.grid
