"""Options that several parts of a model have."""

from __future__ import annotations

import math
from typing import Any

from ..errors import UserError


def checked_weight(option: str, weight: float) -> float:
    """Returns the weight of a term as it is.

    Args:
        option (str): Name of the option, for the error.
        weight (float): What the user set.

    Raises:
        UserError: If it is not a finite number >= 0.
    """
    if not _is_number(weight) or weight < 0:
        raise _error(option, 'a finite number >= 0', weight)
    return weight


def checked_positive(option: str, value: float) -> float:
    """Returns a temperature, a scale or the like as a float.

    Args:
        option (str): Name of the option, for the error.
        value (float): What the user set.

    Raises:
        UserError: If it is not a finite number > 0.
    """
    if not _is_number(value) or value <= 0:
        raise _error(option, 'a finite number > 0', value)
    return float(value)


def checked_size(option: str, value: int) -> int:
    """Returns a width or a number of parts as it is.

    Args:
        option (str): Name of the option, for the error.
        value (int): What the user set.

    Raises:
        UserError: If it is not an int > 0.
    """
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise _error(option, 'an integer > 0', value)
    return value


def _is_number(value: Any) -> bool:
    return (
        isinstance(value, (int, float))
        and not isinstance(value, bool)
        and math.isfinite(value)
    )


def _error(option: str, expected: str, value: Any) -> UserError:
    return UserError(f'{option}: expected {expected}, got {value!r}.')
