"""Features of several domains, each standardised by its own statistics."""

from __future__ import annotations

import torch

from ..errors import UserError

#: Rows that are worked on at a time.
_ROWS = 16384


def standardized(features: torch.Tensor, groups: torch.Tensor) -> torch.Tensor:
    """Standardises each group by its own statistics.

    Args:
        features (Tensor): (N, D).
        groups (Tensor): (N,), integers.

    Returns:
        Tensor: (N, D), float32, (f − mean) / deviation over the group. A
        dimension that hardly varies there is divided by a tenth of the mean
        deviation, as everywhere in this package; a group of equal features
        becomes zero.

    Raises:
        UserError: If a feature is not finite.
    """
    out = torch.empty(features.shape)
    for group in groups.unique():
        rows = (groups == group).nonzero()[:, 0].split(_ROWS)
        count = sum(map(len, rows))
        # In two passes of doubles, a part at a time.
        mean = sum(features[i].double().sum(0) for i in rows) / count
        square = sum(((features[i].double() - mean) ** 2).sum(0) for i in rows)
        if not torch.isfinite(square).all():
            raise UserError(
                'features: expected finite numbers, got others in group '
                f'{int(group)}.'
            )
        std = (square / count).sqrt()
        std = std.clamp_min(0.1 * std.mean()).float()
        std[std == 0] = 1
        for i in rows:
            out[i] = (features[i].float() - mean.float()) / std
    return out
