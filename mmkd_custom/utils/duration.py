"""Lengths of time, as people write them."""

from __future__ import annotations

import re
from typing import Union

from ..errors import UserError

_SECONDS = dict(s=1, m=60, h=3600)
_PART = re.compile(r'(\d+(?:\.\d+)?)\s*([smh])')


def parse_duration(text: Union[str, float], option: str = 'time') -> float:
    """Reads ``20m``, ``1h30m``, ``90s``, or a number of seconds.

    Args:
        text (str | float): What the user gave.
        option (str): What names it, for the error. Defaults to 'time'.

    Returns:
        float: Seconds, above 0.

    Raises:
        UserError: If it is none.
    """
    plain = str(text).strip().lower()
    try:
        seconds = float(plain)
    except ValueError:
        parts = _PART.findall(plain)
        whole = not _PART.sub('', plain).strip()
        seconds = sum(float(n) * _SECONDS[unit] for n, unit in parts)
        seconds = seconds if whole else 0.0
    if not 0 < seconds < float('inf'):
        raise UserError(
            f'{option}: expected a length of time such as 20m, 1h30m or 90s, '
            f'got {text!r}.'
        )
    return seconds


def spell_duration(seconds: float) -> str:
    """Writes seconds as ``45 s``, ``3 min 20 s`` or ``2 h 5 min``."""
    whole = round(seconds)
    if whole < 60:
        return f'{whole} s'
    if whole < 3600:
        minutes, rest = divmod(whole, 60)
        return f'{minutes} min {rest} s' if rest else f'{minutes} min'
    hours, minutes = divmod(round(seconds / 60), 60)
    return f'{hours} h {minutes} min' if minutes else f'{hours} h'
