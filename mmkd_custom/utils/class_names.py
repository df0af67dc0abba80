"""Whether two lists of class names are one."""

from __future__ import annotations

import re
import unicodedata
from itertools import zip_longest
from typing import List, Optional, Sequence, Tuple


def plain_name(name: str) -> str:
    """Returns a name as it compares: 'é' is one letter, or two, on a disk."""
    return unicodedata.normalize('NFC', str(name))


def class_difference(
    ours: Sequence[str], theirs: Sequence[str], places: Tuple[str, str]
) -> Optional[str]:
    """Finds where two lists of class names differ.

    WordNet's numbers, as ImageNet's folders have, and names are not compared.

    Args:
        ours (Sequence[str]): Class names in the order of the labels.
        theirs (Sequence[str]): Likewise.
        places (tuple[str, str]): What has them, such as 'the test dataset'.

    Returns:
        str | None: The first class that only one of them has or that has
        another number in each, as half a sentence; None if they are alike.
    """
    lists = [[plain_name(name) for name in names] for names in (ours, theirs)]
    if lists[0] == lists[1] or _are_synsets(lists[0]) != _are_synsets(
        lists[1]
    ):
        return None
    only = [
        f'class {", ".join(map(repr, names[:5]))}'
        + (f' and {len(names) - 5} more' if len(names) > 5 else '')
        + f' is in {place} only'
        for place, names in zip(
            places,
            (
                sorted(set(lists[0]) - set(lists[1])),
                sorted(set(lists[1]) - set(lists[0])),
            ),
        )
        if names
    ]
    if only:
        return ' and '.join(only)
    number, (our, their) = next(
        (number, pair)
        for number, pair in enumerate(zip_longest(*lists))
        if pair[0] != pair[1]
    )
    return (
        f'class {number} is {our!r} in {places[0]} and {their!r} in '
        f'{places[1]}'
    )


def _are_synsets(names: List[str]) -> bool:
    return bool(names) and all(re.fullmatch(r'n\d{8}', name) for name in names)
