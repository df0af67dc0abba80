"""What the entries of a feature store are a function of, and comparing it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Mapping, Optional, Tuple

from ..errors import UserError

#: Says who made a store; what differs there makes no other entries.
MADE_WITH = 'made_with'

_ABSENT = object()


def check_manifest(path: Path, wanted: Mapping[str, Any]) -> None:
    """Refuses a store whose entries are a function of something else.

    Args:
        path (Path): Its manifest file.
        wanted (Mapping[str, Any]): What the run at hand would write there,
            as JSON holds it.

    Raises:
        UserError: If the file is damaged or a field differs; names the field
            and both values.
    """
    try:
        found = json.loads(path.read_text())
        if not isinstance(found, dict):
            raise ValueError(f'it holds a {type(found).__name__}')
    except (OSError, ValueError) as error:
        raise UserError(
            f'cache {path}: is no manifest ({error}); delete the folder.'
        ) from error
    theirs, ours = (
        {name: value for name, value in fields.items() if name != MADE_WITH}
        for fields in (found, wanted)
    )
    difference = first_difference(theirs, ours)
    if difference is not None:
        field, theirs, ours = difference
        raise UserError(
            f'cache {path.parent}: was made with {field}={theirs}, but this '
            f'run has {ours}; give another cache_dir, or delete this one.'
        )


def first_difference(
    found: Any, wanted: Any, field: str = ''
) -> Optional[Tuple[str, str, str]]:
    """Finds where two JSON values differ first.

    Args:
        found (Any): One value.
        wanted (Any): The other one.
        field (str): Name of both. Defaults to ''.

    Returns:
        tuple[str, str, str] | None: The field, such as
        ``pipelines.labelled.1.scale``, and how the values read there; None
        if they are equal.
    """
    if isinstance(found, dict) and isinstance(wanted, dict):
        lookup = [
            (name, found.get(name, _ABSENT), wanted.get(name, _ABSENT))
            # Ours first: in the order in which a run is described.
            for name in {**wanted, **found}
        ]
    elif isinstance(found, list) and isinstance(wanted, list):
        lookup = [
            (
                str(index),
                found[index] if index < len(found) else _ABSENT,
                wanted[index] if index < len(wanted) else _ABSENT,
            )
            for index in range(max(len(found), len(wanted)))
        ]
    elif type(found) is type(wanted) and found == wanted:
        return None
    else:
        return field, _text(found), _text(wanted)
    for name, theirs, ours in lookup:
        below = f'{field}.{name}' if field else name
        difference = first_difference(theirs, ours, below)
        if difference is not None:
            return difference
    return None


def _text(value: Any) -> str:
    return 'nothing' if value is _ABSENT else repr(value)
