"""How alike two features of the same images are: linear CKA."""

from __future__ import annotations

import torch


def linear_cka(first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
    r"""Computes the linear centred kernel alignment of two features.

    .. math:: \mathrm{CKA}(X, Y) = \frac{\|Y^\top X\|_F^2}
        {\|X^\top X\|_F \, \|Y^\top Y\|_F},

    with the columns of :math:`X` and :math:`Y` centred (Kornblith et al.,
    ICML 2019, arXiv 1905.00414). It is 1 for features that are alike up to a
    rotation and a scale, and needs no equal widths. Few images in many
    dimensions look alike whatever they are: compare values of equally many.

    Args:
        first (Tensor): (N, D).
        second (Tensor): (N, E) of the same images.

    Returns:
        Tensor: Scalar in [0, 1], float64; NaN if either is the same for all
        images.
    """
    grams = []
    for feature in (first, second):
        centred = feature.double() - feature.double().mean(0)
        # (N, D) -> (N, N): ||Y^T X||_F^2 = <X X^T, Y Y^T>.
        gram = centred @ centred.T
        grams.append(gram / gram.norm())
    return (grams[0] * grams[1]).sum()
