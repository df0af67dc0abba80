"""Learnt queries on the teacher's grid look at the student's map (CAP)."""

from __future__ import annotations

from typing import Optional

import torch
import torch.nn as nn
import torch.nn.functional as F
from mmcv.cnn.bricks.transformer import FFN
from mmengine.model.weight_init import trunc_normal_
from torch import Tensor

from ...errors import UserError
from ...registry import MODELS
from ..options import checked_positive, checked_size
from ..outputs import Shape
from .base import Connector
from .spatial import SpatialConnector, grid_of


@MODELS.register_module()
class CrossAttentionConnector(Connector):
    r"""ScaleKD's cross-attention projector (CAP, NeurIPS 2024), one block.

    .. math::
        x &= \mathrm{ReLU}(\mathrm{BN}(\mathrm{Conv}_{3 \times 3}(s))) + E \\
        a &= W_o \, \mathrm{softmax}\!\left(\frac{\sigma}{\sqrt{d}} \,
            W_q \mathrm{ReLU}(W_1 Q) \, (W_k x)^\top\right) W_v x \\
        f' &= y + \mathrm{FFN}(y), \quad y = \mathrm{LN}(a)

    in heads of width d, with a learnt position E of each of the student's
    positions and a learnt query Q of each of the teacher's, or queries that
    are given. Nothing of the query is added to what it finds. W_o, and ReLU
    in the feed-forward part of width 4 C_t, are second-hand.

    Args:
        source (Shape): The student's map, or tokens with a grid.
        target (Shape): The teacher's.
        num_heads (int, optional): A divisor of the target's width. Published:
            at stages 3 and 4 of Swin-L 16 and 24 for CNNs, 8 and 16 for
            ConvNeXt-T, 24 and 48 for Swin-T, 8 and 8 for ViT and Mixer; 3 and
            6 of Swin-S. Defaults to None, a head for 64 channels as far as
            that divides (ours).
        scale (float): sigma; published: 5 for Swin-L -> CNN, ViT and Mixer,
            1 for Swin-L -> ConvNeXt-T and Swin-T and for BEiT-L -> ViT, 0.2
            for BEiT-L -> ResNet-50. Defaults to 1.0.
        self_query (bool): Whether it has queries of its own; else each call
            has to give them. Defaults to True.
        **kwargs: See :class:`Connector`.

    Raises:
        UserError: If ``num_heads`` does not divide the width, or there are no
            queries at all.
    """

    takes = gives = ('map', 'tokens')
    condition = 'tokens with a grid'

    def __init__(
        self,
        source: Shape,
        target: Shape,
        num_heads: Optional[int] = None,
        scale: float = 1.0,
        self_query: bool = True,
        **kwargs,
    ) -> None:
        super().__init__(source, target, **kwargs)
        name = type(self).__name__
        width, inner = self.target.width, self.source.width
        if num_heads is None:
            fewest = range(max(width // 64, 1), 0, -1)
            num_heads = next(n for n in fewest if width % n == 0)
        if width % checked_size(f'{name}.num_heads', num_heads):
            raise UserError(
                f'{name}.num_heads: expected a divisor of {width}, the '
                f"target's width, got {num_heads}."
            )
        self.num_heads = num_heads
        self.scale = checked_positive(f'{name}.scale', scale)
        height, breadth = grid_of(self.target)
        self.student = nn.Sequential(
            nn.Conv2d(inner, inner, 3, padding=1),
            nn.BatchNorm2d(inner),
            nn.ReLU(),
        )
        positions = torch.zeros(1, inner, *grid_of(self.source))
        self.position = nn.Parameter(trunc_normal_(positions, std=0.02))
        self.queries = (
            nn.Embedding(height * breadth, width) if self_query else None
        )
        # A 1x1 convolution, of tokens.
        self.before_query = nn.Sequential(nn.Linear(width, width), nn.ReLU())
        self.query = nn.Linear(width, width)
        self.key = nn.Linear(inner, width)
        self.value = nn.Linear(inner, width)
        self.out = nn.Linear(width, width)
        self.norm = nn.LayerNorm(width)
        self.ffn = FFN(width, 4 * width)

    @classmethod
    def fits(cls, source: Shape, target: Shape) -> bool:
        """Whether both are maps, or tokens with a grid."""
        return SpatialConnector.fits(source, target)

    def forward(self, x: Tensor, queries: Optional[Tensor] = None) -> Tensor:
        """Projects onto the teacher's grid.

        Args:
            x (Tensor): The student's map (N, C_s, h, w) or tokens (N, L, D).
            queries (Tensor, optional): (N, Q, C_t), one a position of the
                target. Defaults to None, its own.

        Returns:
            Tensor: Map or tokens of the target's shape.
        """
        if self.source.kind == 'tokens':
            # (N, L, D) -> (N, D, h, w)
            x = x.transpose(1, 2).unflatten(2, grid_of(self.source))
        # (N, C_s, h, w) -> (N, L, C_s)
        x = (self.student(x) + self.position).flatten(2).transpose(1, 2)
        if queries is None and self.queries is None:
            raise UserError(
                f'{type(self).__name__}.self_query: expected True, or queries '
                'in each call, which a term does not give, got False and none.'
            )
        if queries is None:
            queries = self.queries.weight.expand(len(x), -1, -1)
        sides = (
            # (N, L, C_t) -> (N, heads, L, d)
            side.unflatten(2, (self.num_heads, -1)).transpose(1, 2)
            for side in (
                self.query(self.before_query(queries)),
                self.key(x),
                self.value(x),
            )
        )
        width = self.target.width // self.num_heads
        found = F.scaled_dot_product_attention(
            *sides, scale=self.scale / width**0.5
        )
        # (N, heads, Q, d) -> (N, Q, C_t)
        y = self.norm(self.out(found.transpose(1, 2).flatten(2)))
        y = self.ffn(y)
        if self.target.kind == 'tokens':
            return y
        # (N, Q, C_t) -> (N, C_t, h, w)
        return y.transpose(1, 2).unflatten(2, grid_of(self.target))
