"""From which source does a feature come? Asked to make it unanswerable."""

from __future__ import annotations

from typing import Any, Sequence, Union

import torch
from torch import Tensor

from ...registry import MODELS
from ..options import checked_size
from ..outputs import Shape
from .base import AnyShape, Connector
from .mlp import perceptron


@MODELS.register_module()
class Discriminator(Connector):
    """Predicts an index, such as the stream, behind a reversed gradient.

    :class:`CrossEntropy` trains it; the student learns to make it err (arXiv
    1409.7495). Its default widths are those of MEAL V2 (arXiv 2009.08453),
    D -> D / 8 -> D / 64 -> classes; at least 8 is ours.

    Args:
        source (Shape | int): A vector.
        target (Shape): An index whose number of classes is known.
        hidden_channels (int | Sequence[int], optional): Between the layers;
            None means (D / 8, D / 64), at least 8. Defaults to None.
        reverse (bool): Whether the gradient is reversed. Defaults to True.
        **kwargs: See :class:`Connector`.
    """

    takes, gives = ('vector',), ('index',)
    condition = 'of a known number of classes'

    def __init__(
        self,
        source: AnyShape,
        target: Shape,
        hidden_channels: Union[int, Sequence[int], None] = None,
        reverse: bool = True,
        **kwargs,
    ) -> None:
        super().__init__(source, target, **kwargs)
        width, classes = self.source.width, self.target.classes
        if hidden_channels is None:
            hidden_channels = [max(width // 8, 8), max(width // 64, 8)]
        elif isinstance(hidden_channels, int):
            hidden_channels = [hidden_channels]
        for hidden in hidden_channels:
            checked_size(f'{type(self).__name__}.hidden_channels', hidden)
        self.layers = perceptron(
            [width, *hidden_channels, classes], dict(type='ReLU')
        )
        self.gives_shape, self.reverse = Shape((classes,)), reverse

    @classmethod
    def fits(cls, source: Shape, target: Shape) -> bool:
        """Whether it is a vector, and an index of a known range."""
        kinds = source.kind, target.kind
        return kinds == ('vector', 'index') and bool(target.classes)

    def forward(self, feature: Tensor) -> Tensor:
        """Predicts logits (N, classes) from features (N, D)."""
        return self.layers(
            _Reversed.apply(feature) if self.reverse else feature
        )


class _Reversed(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, feature: Tensor) -> Tensor:
        return feature.view_as(feature)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return -gradient
