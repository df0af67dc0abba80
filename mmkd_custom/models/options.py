"""Options that several parts of a model have."""

from __future__ import annotations

import math
from typing import Any, Sequence

from ..errors import UserError


def checked_weight(
    option: str, weight: float, most: float = math.inf
) -> float:
    """Returns a weight as it is.

    Args:
        option (str): Name of the option, for the error.
        weight (float): What the user set.
        most (float): How large it may be. Defaults to infinity.

    Raises:
        UserError: If it is not a finite number from 0 to ``most``.
    """
    if not _is_number(weight) or not 0 <= weight <= most:
        bound = '>= 0' if most == math.inf else f'from 0 to {most}'
        raise _error(option, f'a finite number {bound}', weight)
    return weight


def checked_positive(option: str, value: float) -> float:
    """Returns a finite number > 0, such as a temperature, as a float."""
    if not _is_number(value) or value <= 0:
        raise _error(option, 'a finite number > 0', value)
    return float(value)


def checked_number(option: str, value: float) -> float:
    """Returns a finite number, such as an exponent, as it is."""
    if not _is_number(value):
        raise _error(option, 'a finite number', value)
    return value


def checked_size(option: str, value: int) -> int:
    """Returns an integer > 0, such as a width, as it is."""
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise _error(option, 'an integer > 0', value)
    return value


def checked_choice(option: str, value: Any, choices: Sequence[Any]) -> Any:
    """Returns one of several values, such as words, as it is."""
    if value not in choices:
        raise _error(option, f'one of {", ".join(map(str, choices))}', value)
    return value


def _is_number(value: Any) -> bool:
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return number and math.isfinite(value)


def _error(option: str, expected: str, value: Any) -> UserError:
    return UserError(f'{option}: expected {expected}, got {value!r}.')
