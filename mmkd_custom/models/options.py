"""Options that several parts of a model have."""

from __future__ import annotations

import math

from ..errors import UserError


def checked_weight(option: str, weight: float) -> float:
    """Gives the weight of a term.

    Args:
        option (str): Name of the option, for the error.
        weight (float): What the user set.

    Returns:
        float: The same number.

    Raises:
        UserError: If it is not a finite number >= 0.
    """
    number = isinstance(weight, (int, float)) and not isinstance(weight, bool)
    # Not a number is not smaller than infinity, either.
    if not number or not 0 <= weight < math.inf:
        raise UserError(
            f'{option}: expected a finite number >= 0, got {weight!r}.'
        )
    return weight
