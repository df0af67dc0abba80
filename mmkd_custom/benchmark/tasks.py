"""Tasks of a benchmark: variables that make a config that of the task."""

from __future__ import annotations

import re
from itertools import permutations
from typing import Dict, List, Sequence

from ..datasets.checking.protocols import find_protocol
from ..datasets.domains import plain_spelling, split_names
from ..errors import UserError

#: ``NAME=`` at the beginning or after a comma; other commas are of a value.
_ASSIGNED = re.compile(r'(?:^|,)([A-Z][A-Z0-9_]*)=')


def parse_tasks(texts: Sequence[str]) -> List[Dict[str, str]]:
    """Reads tasks as they are given on a command line.

    Args:
        texts (Sequence[str]): ``SOURCE:TARGET``, or any variables that the
            configs read: ``NAME=VALUE,NAME=VALUE``.

    Returns:
        list[dict[str, str]]: Variables by name.

    Raises:
        UserError: If one is neither, or its target is among its sources.
    """
    return [_parse(text) for text in texts]


def protocol_tasks(name: str) -> List[Dict[str, str]]:
    """Returns the tasks of a protocol of domain adaptation.

    Args:
        name (str): Such as ``officehome``.

    Returns:
        list[dict[str, str]]: All ordered pairs of its domains; from the
        training domain alone where there is one.

    Raises:
        UserError: If there is none of this name, or it has no domains.
    """
    protocol = find_protocol(name)
    if not protocol.dataset.startswith('Domain'):
        raise UserError(
            f'--protocol: expected one with domains, got {protocol.title}; '
            'leave it out and give its configs.'
        )
    parts = [p for p in protocol.parts if p not in protocol.optional]
    return [
        dict(SOURCE=source, TARGET=target)
        for source, target in permutations(parts, 2)
        # VisDA's domains are splits: one is trained on.
        if source == 'train' or 'train' not in parts
    ]


def _parse(text: str) -> Dict[str, str]:
    found = list(_ASSIGNED.finditer(text))
    if found:
        ends = [match.start() for match in found[1:]] + [len(text)]
        pairs = [(m[1], text[m.end() : end]) for m, end in zip(found, ends)]
        whole = found[0].start() == 0
    else:
        pairs = list(zip(('SOURCE', 'TARGET'), text.split(':')))
        whole = text.count(':') == 1
    variables = dict(pairs)
    if (
        not whole
        or len(variables) < len(pairs)
        or not all(variables.values())
        or 'SEED' in variables
    ):
        raise UserError(
            '--tasks: expected SOURCE:TARGET, such as Art:Clipart or, of '
            'several sources, Art,Clipart:Product, or variables other than '
            'SEED that the configs read, each once, such as '
            f'LABEL_FRACTION=0.05,EVAL_SPLIT=val, got {text}.'
        )
    if {'SOURCE', 'TARGET'} <= {*variables}:
        sources, targets = (
            {plain_spelling(one) for one in split_names(variables[name])}
            for name in ('SOURCE', 'TARGET')
        )
        if sources & targets:
            raise UserError(
                '--tasks: expected a target that is none of the sources, got '
                f'{text}.'
            )
    return variables
