"""Soft labels whose classes have the shares that are known of them."""

from __future__ import annotations

import torch

#: Until each mean is that near to its share, or so many times: where all are
#: certain of something else, no weight makes it so.
_NEAR, _STEPS = 1e-4, 200


def with_class_mass(
    labels: torch.Tensor, shares: torch.Tensor
) -> torch.Tensor:
    r"""Weights classes so that their means over all images are the shares.

    .. math:: q_{ic} \leftarrow \frac{w_c q_{ic}}{\sum_d w_d q_{id}}, \quad
        w_c \leftarrow w_c \frac{\pi_c}{\frac1N \sum_i q_{ic}}

    Class mass normalisation of Zhu, Ghahramani and Lafferty,
    "Semi-supervised learning using Gaussian fields and harmonic functions",
    ICML 2003, has one such step; that it is repeated is ours. Images that are
    certain stay what they are.

    Args:
        labels (Tensor): (N, C), rows of sum 1.
        shares (Tensor): :math:`\pi` (C,), positive, of sum 1.

    Returns:
        Tensor: (N, C), rows of sum 1.
    """
    weights = torch.ones_like(shares, dtype=torch.float64)
    shares, exact = shares.double(), labels.double()
    for _ in range(_STEPS):
        weighted = exact * weights
        found = (weighted / weighted.sum(1, keepdim=True)).mean(0)
        if (found - shares).abs().max() < _NEAR:
            break
        # A class that no image may be of has no weight that gives it one.
        weights = weights * shares / found.clamp_min(1e-12)
        weights = (weights / weights.mean()).clamp(1e-6, 1e6)
    weighted = exact * weights
    return (weighted / weighted.sum(1, keepdim=True)).to(labels.dtype)
