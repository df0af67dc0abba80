"""The student's values, gathered as the teacher's keys say."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from ...registry import MODELS
from ..outputs import Shape
from .base import Connector
from .spatial import SpatialConnector, grid_of


@MODELS.register_module()
class QueryConnector(Connector):
    r"""Attention of the student's queries to the teacher's tokens.

    .. math:: f' = \mathrm{softmax}(q(s) \, t^\top / \sqrt{D}) \, v(s)

    GKD (arXiv 2603.02554, for segmentation): each position of the student
    looks for teacher positions that are like it, and takes the student's
    values there; the mean squared error with t follows. With one position it
    knows nothing of the teacher. Ours: q and v are 1x1 convolutions onto the
    teacher's grid, as of :class:`SpatialConnector`, and the root of D.

    Args:
        source (Shape): A map, or tokens with a grid.
        target (Shape): A map, or tokens with a grid.
        **kwargs: See :class:`Connector`.
    """

    takes = gives = ('map', 'tokens')
    condition = 'tokens with a grid'
    sees_target = True

    def __init__(self, source: Shape, target: Shape, **kwargs) -> None:
        super().__init__(source, target, **kwargs)
        self.query = SpatialConnector(source, target)
        self.value = SpatialConnector(source, target)

    @classmethod
    def fits(cls, source: Shape, target: Shape) -> bool:
        """Whether both are maps, or tokens with a grid."""
        return SpatialConnector.fits(source, target)

    def forward(self, x: Tensor, target: Tensor) -> Tensor:
        """Answers in the target's shape.

        Args:
            x (Tensor): The student's (N, C, h, w) or (N, L, D).
            target (Tensor): The teacher's, in the target's shape.

        Returns:
            Tensor: (N, C, h, w) or (N, L, D) of the target.
        """
        sides = self.query(x), target, self.value(x)
        if self.target.kind == 'tokens':
            return F.scaled_dot_product_attention(*_alike(*sides))
        # (N, D, h, w) -> (N, L, D), and back
        sides = (side.flatten(2).transpose(1, 2) for side in sides)
        found = F.scaled_dot_product_attention(*_alike(*sides))
        return found.transpose(1, 2).unflatten(2, grid_of(self.target))


def _alike(query: Tensor, key: Tensor, value: Tensor) -> tuple:
    # Under autocast the projections are in half precision, the teacher not.
    return query, key.to(query.dtype), value
