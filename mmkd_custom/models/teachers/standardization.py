"""Which origin, axes and units a teacher's feature has."""

from __future__ import annotations

from typing import Optional, Tuple

import torch

from ...errors import UserError

#: What a teacher calls its mean, standard deviation and basis.
STATISTICS = ('feature_mean', 'feature_std', 'feature_basis')


def standardize(
    feature: torch.Tensor,
    mean: torch.Tensor,
    std: torch.Tensor,
    basis: Optional[torch.Tensor] = None,
) -> torch.Tensor:
    """Returns (f - mean) / std or, with a basis U, (f - mean) U / std.

    Args:
        feature (Tensor): f, (N, D).
        mean (Tensor): (D,).
        std (Tensor): (D,), along the axes of the result.
        basis (Tensor, optional): U, (D, D), a new axis a column. Defaults to
            None, the axes that f has.
    """
    centred = feature - mean
    if basis is not None:
        # What a cache gives comes here under the student's autocast.
        with torch.autocast(feature.device.type, enabled=False):
            centred = centred @ basis
    return centred / std


def principal_basis(
    covariance: torch.Tensor,
) -> Tuple[torch.Tensor, torch.Tensor]:
    """Returns the directions of most variance, and how much each has.

    Args:
        covariance (Tensor): (D, D), symmetric.

    Returns:
        tuple[Tensor, Tensor]: Orthonormal columns (D, D), each with its
        entry of largest size positive, and their variances (D,), falling,
        none below 0.
    """
    variances, basis = torch.linalg.eigh(covariance)
    variances, basis = variances.flip(0).clamp_min(0), basis.flip(1)
    largest = basis.gather(0, basis.abs().argmax(0, keepdim=True))
    # Contiguous, as what is sent to other processes must be.
    return (basis * largest.sign()).contiguous(), variances


def hadamard(width: int) -> Optional[torch.Tensor]:
    """Returns an orthonormal matrix of equal sizes, if one is known here.

    Sylvester's doubling of 1, or of Paley's first construction.

    Args:
        width (int): D.

    Returns:
        Tensor: (D, D) float64, entries of size D^-1/2, or None.
    """
    start = width
    while True:
        matrix = torch.ones(1, 1, dtype=torch.float64)
        if start > 1:
            matrix = _paley(start - 1)
        if matrix is not None:
            break
        if start % 2:
            return None
        start //= 2
    while len(matrix) < width:
        above = torch.cat([matrix, matrix], 1)
        matrix = torch.cat([above, torch.cat([matrix, -matrix], 1)])
    return matrix / width**0.5


def _paley(prime: int) -> Optional[torch.Tensor]:
    """Returns Paley's matrix of q + 1 rows, for a prime q = 3 mod 4."""
    if prime % 4 != 3 or any(prime % i == 0 for i in range(3, prime, 2)):
        return None
    numbers = torch.arange(prime)
    residues = torch.full((prime,), -1.0, dtype=torch.float64)
    residues[numbers**2 % prime] = 1
    residues[0] = 0
    skew = torch.zeros(prime + 1, prime + 1, dtype=torch.float64)
    skew[0, 1:], skew[1:, 0] = 1, -1
    skew[1:, 1:] = residues[(numbers[:, None] - numbers) % prime]
    return skew + torch.eye(prime + 1, dtype=torch.float64)


def checked_statistics(
    name: str,
    width: int,
    mean: torch.Tensor,
    std: torch.Tensor,
    basis: Optional[torch.Tensor] = None,
) -> Tuple[torch.Tensor, torch.Tensor, Optional[torch.Tensor]]:
    """Returns statistics in float32, small deviations raised.

    Args:
        name (str): The teacher's, for the error.
        width (int): D of its feature.
        mean (Tensor): As of :func:`standardize`.
        std (Tensor): Likewise; becomes a tenth of its mean at least.
        basis (Tensor, optional): Likewise. Defaults to None.

    Raises:
        UserError: If a shape or a value does not fit.
    """
    expected = dict(mean=(width,), std=(width,), basis=(width, width))
    for what, values in dict(mean=mean, std=std, basis=basis).items():
        if values is not None and tuple(values.shape) != expected[what]:
            raise UserError(
                f'teacher {name}: expected {what} of the feature of shape '
                f'{expected[what]}, got {tuple(values.shape)}.'
            )
    least = 0.1 * std.double().mean()
    if not (torch.isfinite(mean).all() and 0 < least < float('inf')):
        raise UserError(
            f'teacher {name}: its feature is the same for all images, or not '
            'finite, so it cannot be standardised.'
        )
    std = std.double().clamp_min(least).float()
    return mean.float(), std, None if basis is None else basis.float()
