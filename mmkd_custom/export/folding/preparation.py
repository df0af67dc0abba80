"""What a test pipeline does to an image, as a part of the network."""

from __future__ import annotations

from typing import Any, NamedTuple, Optional, Sequence, Tuple

import torch
import torch.nn as nn
from torch.onnx.operators import shape_as_tensor

from ...errors import UserError
from .resizing import KINDS, matrix


class Steps(NamedTuple):
    """What is done to an image before it is normalised.

    Attributes:
        kind (tuple[str, str]): Backend and interpolation.
        size (tuple[int, int], optional): Height and width that it is resized
            to; None where ``edge`` tells.
        edge (tuple[str, int], optional): Which edge is resized to how many
            pixels.
        crop (tuple[int, int], optional): Height and width of the middle that
            is kept; None for all.
    """

    kind: Tuple[str, str]
    size: Optional[Tuple[int, int]] = None
    edge: Optional[Tuple[str, int]] = None
    crop: Optional[Tuple[int, int]] = None


def read_steps(pipeline: Sequence[dict]) -> Steps:
    """Reads a test pipeline.

    Args:
        pipeline (Sequence[dict]): ``LoadImageFromFile``, ``Resize`` or
            ``ResizeEdge``, ``CenterCrop`` if any, ``PackInputs``.

    Returns:
        Steps: What it does.

    Raises:
        UserError: If it does anything else, which is named.
    """
    names = [str(step['type']).rpartition('.')[2] for step in pipeline]
    if names[:1] != ['LoadImageFromFile'] or (
        pipeline[0].get('color_type', 'color') != 'color'
    ):
        raise _unknown('LoadImageFromFile of colour first', names[:1])
    middle = [step for step in zip(names, pipeline) if step[0] != 'PackInputs']
    middle = middle[1:]
    if not middle or middle[0][0] not in ('Resize', 'ResizeEdge'):
        raise _unknown('Resize or ResizeEdge after it', names[1:2])
    name, first = middle[0]
    kind = (
        first.get('backend', 'cv2'),
        first.get('interpolation', 'bilinear'),
    )
    if kind not in KINDS:
        raise _unknown(f'an interpolation out of {sorted(KINDS)}', kind)
    size = edge = crop = None
    if name == 'ResizeEdge':
        edge = (first.get('edge', 'short'), first['scale'])
    elif first.get('keep_ratio') or 'scale' not in first:
        raise _unknown('Resize to a fixed scale', dict(first))
    else:
        size = _pair(first['scale'])
    if len(middle) > 1:
        name, second = middle[1]
        if name != 'CenterCrop' or second.get('auto_pad'):
            raise _unknown('CenterCrop without padding, if any', name)
        crop = _pair(second['crop_size'])
    if len(middle) > 2:
        raise _unknown('nothing after it', middle[2][0])
    if edge and (not crop or edge[0] != 'short' or max(crop) > edge[1]):
        raise _unknown('a CenterCrop inside of the short edge', crop)
    if crop and size and (crop[0] > size[0] or crop[1] > size[1]):
        raise _unknown(f'a CenterCrop inside of {size}', crop)
    return Steps(kind, size, edge, crop)


class Preparation(nn.Module):
    """Images as they are read -> as the network sees them.

    Args:
        steps (Steps): Of the test pipeline.
        mean (Sequence[float]): Of each channel, as the network takes them.
        std (Sequence[float]): Likewise.
        to_rgb (bool): Whether the network takes RGB; else BGR.
    """

    def __init__(
        self,
        steps: Steps,
        mean: Sequence[float],
        std: Sequence[float],
        to_rgb: bool,
    ) -> None:
        super().__init__()
        self.steps, self.to_rgb = steps, to_rgb
        for name, values in dict(mean=mean, std=std).items():
            value = torch.as_tensor(values, dtype=torch.float32)
            self.register_buffer(name, value.view(1, -1, 1, 1))

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Takes (N, H, W, 3) uint8 RGB, gives (N, 3, h, w) float32."""
        # (N, H, W, 3) -> (N, 3, H, W)
        x = image.permute(0, 3, 1, 2).float()
        if not self.to_rgb:
            x = x.flip(1)
        shape = shape_as_tensor(image)
        old = shape[1], shape[2]
        new = self._resized(*old)
        kept = self.steps.crop or self.steps.size
        grows = (new[0] > old[0]) | (new[1] > old[1])
        rows, columns = (
            matrix(self.steps.kind, was, to, _first(to, count), count, grows)
            for was, to, count in zip(old, new, kept)
        )
        # (N, 3, H, W) (W, w) -> (N, 3, H, w)
        x = torch.matmul(x, columns.t())
        if self.steps.kind[0] == 'pillow':
            x = _pixels(x)
        # (h, H) (N, 3, H, w) -> (N, 3, h, w)
        x = _pixels(torch.matmul(rows, x))
        return (x - self.mean) / self.std

    def _resized(self, height: Any, width: Any) -> Tuple[Any, Any]:
        if self.steps.size:
            return tuple(torch.tensor(side) for side in self.steps.size)
        short = torch.tensor(self.steps.edge[1])
        tall = width < height
        return (
            torch.where(tall, short * height // width, short),
            torch.where(tall, short, short * width // height),
        )


def _first(new: torch.Tensor, count: int) -> torch.Tensor:
    """The first pixel that CenterCrop keeps."""
    return torch.round((new - count).float() / 2).long()


def _pixels(x: torch.Tensor) -> torch.Tensor:
    return torch.round(x).clamp(0, 255)


def _pair(size: Any) -> Tuple[int, int]:
    """Height and width; transforms have the width first."""
    if isinstance(size, int):
        return size, size
    width, height = size
    return height, width


def _unknown(expected: str, got: Any) -> UserError:
    return UserError(
        f'--fold: expected {expected} in the test pipeline, got {got!r}.'
    )
