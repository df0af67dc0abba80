"""What rounds of self-distillation come to, where that can be computed."""

from __future__ import annotations

from typing import Optional

import torch

from ..errors import UserError
from ..models.options import checked_positive, checked_weight


def self_distil(
    kernel: torch.Tensor,
    targets: torch.Tensor,
    alpha: float,
    ridge: float,
    rounds: Optional[int] = None,
) -> torch.Tensor:
    r"""Returns what kernel ridge regression says after rounds on itself.

    The model of round k is fitted to a mixture of the labels and of what the
    model before it says of the training images (arXiv 2102.13088):

    .. math::
        f_k = A \, (\alpha y + (1 - \alpha) f_{k-1}), \quad
        A = K (K + \lambda I)^{-1}, \quad f_0 = A y.

    Each round shrinks the directions in which K varies little; with
    :math:`\alpha > 0` the labels hold against that, and the limit is a single
    ridge regression with a larger penalty,

    .. math:: f_\infty = \alpha K (\alpha K + \lambda I)^{-1} y.

    So with a network's features as K = F F^T, such as a cache holds, how many
    rounds and which alpha help is known before a network is trained.

    Args:
        kernel (Tensor): K (N, N), symmetric, without negative eigenvalues.
        targets (Tensor): y (N,) or (N, C), such as one-hot labels.
        alpha (float): Share of the labels, from 0 to 1.
        ridge (float): :math:`\lambda > 0`.
        rounds (int, optional): k. Defaults to None, the limit.

    Returns:
        Tensor: f (N,) or (N, C) in float64.

    Raises:
        UserError: If a number has no such value, or K is no such matrix.
    """
    checked_weight('alpha', alpha, most=1)
    checked_positive('ridge', ridge)
    count = len(targets)
    if kernel.shape != (count, count):
        raise UserError(
            f'kernel: expected ({count}, {count}) for {count} targets, got '
            f'{tuple(kernel.shape)}.'
        )
    # Each round multiplies what lies along an eigenvector by a number.
    values, vectors = torch.linalg.eigh(kernel.double())
    values = values.clamp_min(0)
    if rounds is None:
        shares = alpha * values / (alpha * values + ridge)
    else:
        once = values / (values + ridge)
        shares = once
        for _ in range(rounds):
            shares = once * (alpha + (1 - alpha) * shares)
    along = vectors.T @ targets.double().reshape(count, -1)
    return (vectors @ (shares[:, None] * along)).reshape(targets.shape)
