"""Resizing as a product of matrices, for images of any size.

Each way of resizing is linear in the rows and in the columns, so that it is
two matrices. They are made of the image's size within the network, by
operations that every exporter knows, and give what OpenCV or Pillow give up
to the rounding of a pixel.
"""

from __future__ import annotations

from typing import Callable, Dict, Tuple

import torch

#: OpenCV's cubic coefficient, and Pillow's.
_CUBIC = dict(cv2=-0.75, pillow=-0.5)


def matrix(
    kind: Tuple[str, str],
    old: torch.Tensor,
    new: torch.Tensor,
    first: torch.Tensor,
    count: int,
    grows: torch.Tensor,
) -> torch.Tensor:
    """Makes the matrix that resizes one side and cuts a piece out.

    Args:
        kind (tuple[str, str]): One of :data:`KINDS`.
        old (Tensor): Scalar, pixels of the side.
        new (Tensor): Scalar, pixels that it is resized to.
        first (Tensor): Scalar, the first of these that is kept.
        count (int): How many are kept.
        grows (Tensor): Scalar bool, whether a side becomes longer, this or
            the other one.

    Returns:
        Tensor: (count, old); its rows add up to one.
    """
    scale = old.double() / new.double()
    # (count, 1) against (1, old).
    at = (torch.arange(count) + first).double()[:, None]
    pixels = torch.arange(old).double()[None]
    last = (old - 1).double()
    return KINDS[kind](at, pixels, scale, last, grows).float()


def _area(at, pixels, scale, last, grows) -> torch.Tensor:
    """The share of each pixel in what the new one covers.

    OpenCV takes two pixels alone as soon as one of the sides grows.
    """
    until = torch.minimum((at + 1) * scale, pixels + 1)
    since = torch.maximum(at * scale, pixels)
    covered = (until - since).clamp(min=0) / scale
    left = (at * scale).floor()
    share = (at + 1 - (left + 1) / scale).clamp(min=0)
    share = share - share.floor()
    right = torch.minimum(left + 1, last)
    two = (pixels == left).double() * (1 - share)
    two = two + (pixels == right).double() * share
    return torch.where(grows, two, covered)


def _taps(weights: Callable, count: int, back: int) -> Callable:
    """The nearest pixels, those beyond the edge taken for the edge."""

    def make(at, pixels, scale, last, grows) -> torch.Tensor:
        centre = (at + 0.5) * scale - 0.5
        left = centre.floor()
        share = centre - left
        found = 0
        for tap in range(count):
            index = (left + (tap - back)).clamp(min=0)
            hit = (pixels == torch.minimum(index, last)).double()
            found = found + weights(tap - back - share) * hit
        return found

    return make


def _spread(weights: Callable) -> Callable:
    """All pixels that the kernel, widened to the new pixel, reaches."""

    def make(at, pixels, scale, last, grows) -> torch.Tensor:
        centre, wide = (at + 0.5) * scale, scale.clamp(min=1)
        found = weights((pixels + 0.5 - centre) / wide)
        return found / found.sum(1, keepdim=True)

    return make


def _nearest(at, pixels, scale, last, grows) -> torch.Tensor:
    return (pixels == torch.minimum((at * scale).floor(), last)).double()


def _linear(x: torch.Tensor) -> torch.Tensor:
    return (1 - x.abs()).clamp(min=0)


def _cubic(a: float) -> Callable:
    def weights(x: torch.Tensor) -> torch.Tensor:
        x = x.abs()
        near = ((a + 2) * x - (a + 3)) * x * x + 1
        far = ((x - 5) * x + 8) * x * a - 4 * a
        zero = torch.zeros_like(x)
        return torch.where(x < 1, near, torch.where(x < 2, far, zero))

    return weights


#: By the backend and interpolation that MMPretrain's transforms name.
KINDS: Dict[Tuple[str, str], Callable] = {
    ('cv2', 'area'): _area,
    ('cv2', 'nearest'): _nearest,
    ('cv2', 'bilinear'): _taps(_linear, 2, 0),
    ('cv2', 'bicubic'): _taps(_cubic(_CUBIC['cv2']), 4, 1),
    ('pillow', 'bilinear'): _spread(_linear),
    ('pillow', 'bicubic'): _spread(_cubic(_CUBIC['pillow'])),
}
