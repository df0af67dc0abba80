"""Which class a part of a config names, however it names it."""

from __future__ import annotations

from typing import Any


def kind_name(part: Any) -> str:
    """Returns the bare name of the class that a part of a config is of.

    Args:
        part (Any): A teacher or hook, say: its config, whose type may be a
            name, with or without a scope, or the class of a lazy config; the
            name or class itself; or what was built of it.

    Returns:
        str: The class's name; empty if the config has no type.
    """
    kind = part.get('type') or '' if isinstance(part, dict) else part
    if not isinstance(kind, str):
        kind = getattr(kind, '__name__', type(kind).__name__)
    return kind.rpartition('.')[2]


def is_kind(part: Any, *names: str) -> bool:
    """Whether a part of a config is of one of some classes.

    Args:
        part (Any): As for :func:`kind_name`.
        *names (str): Bare names of classes.
    """
    return kind_name(part) in names
