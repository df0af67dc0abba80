"""Classifiers of the student's earlier stages."""

from __future__ import annotations

from typing import Any, Optional, Sequence, Tuple

import torch.nn as nn
from mmcv.cnn import DepthwiseSeparableConvModule

from ...errors import UserError
from ...registry import MODELS
from ...stages import STUDENT
from ..batch import Batch
from ..outputs import MAPS, Outputs, Shape
from ..source import Source
from .base import OwnedNetwork


@MODELS.register_module()
class StageExits(OwnedNetwork):
    """Logits of each of some stages, ``more.<stage>`` (OFA-KD).

    Stages of different architectures are not alike, logits are: OFA-KD (arXiv
    2310.19444) takes each stage of the student to them and compares with the
    teacher's by the loss ``OFA``. Ours: an exit is a depthwise separable 3x3
    convolution of stride 2 with BatchNorm to the width of the student's
    feature, the mean over positions, and a linear layer. It is left behind at
    export.

    Args:
        stages (Sequence[int]): Indices of the student's ``maps``; each needs
            a term, on ``('<name>.more.<stage>', …)``.

    Raises:
        UserError: If these are no indices, or the student has no such map.
    """

    view = STUDENT

    def __init__(self, stages: Sequence[int]) -> None:
        super().__init__()
        if (
            not isinstance(stages, (list, tuple))
            or not stages
            or not all(type(i) is int and i >= 0 for i in stages)
        ):
            raise UserError(
                'StageExits.stages: expected indices such as (0, 1), got '
                f'{stages!r}.'
            )
        self.stages = stages

    def attach(self, distiller: Any) -> None:
        """Builds an exit of each stage."""
        view, self.exits = distiller.student_view, nn.ModuleDict()
        self.of = tuple(_map(i) for i in self.stages)
        for index, source in zip(self.stages, self.of):
            convolution = DepthwiseSeparableConvModule(
                distiller.shape_of(source).width,
                view.feature_dim,
                3,
                stride=2,
                padding=1,
                norm_cfg=dict(type='BN'),
            )
            self.exits[str(index)] = nn.Sequential(
                convolution,
                nn.AdaptiveAvgPool2d(1),
                nn.Flatten(),
                nn.Linear(view.feature_dim, view.num_classes),
            )
            self.shapes[f'more.{index}'] = Shape((view.num_classes,))

    def needs(self, view: Optional[str] = None) -> Tuple[Source, ...]:
        """Names the maps of the view that it is asked about."""
        return tuple(s._replace(view=view) for s in self.of)

    def ask(
        self, batch: Batch, wants: Sequence[str], view: Optional[str] = None
    ) -> Outputs:
        """Classifies maps of the student; logits (N, C) each."""
        maps = dict(zip(self.exits, self.needs(view)))
        wanted = (want.partition('.')[2] for want in wants)
        return Outputs(
            more={i: self.exits[i](batch.get(maps[i])) for i in wanted}
        )


def _map(index: int) -> Source:
    return Source(STUDENT, None, f'{MAPS}.{index}')
