"""Finished runs in a CSV that a repository keeps, a line each."""

from __future__ import annotations

import csv
import hashlib
import io
import json
from pathlib import Path
from typing import Any, Dict, Iterable, List, Mapping, Optional, Tuple, Union

from ..errors import UserError
from ..evaluation.results import TEACHER_METRICS
from ..utils.files import write_atomic
from ..utils.runs import LENGTH
from .tables import KINDS, SELECTION, Run, digits

#: What names a run, and what of its ``results.json`` has a column for each
#: entry, such as ``last:accuracy/top1``.
NAMES = ('config', 'task', 'seed')
BLOCKS = (*KINDS, 'constant', SELECTION, TEACHER_METRICS)
#: What is told of the run beside its results.
TOLD = ('epochs', 'wall_seconds', 'device', 'torch', 'mmkd_custom')
#: Digests of what decides its course.
SETTINGS = 'settings'

#: Column to text; a column without a value is left out.
Line = Dict[str, str]


def line_of(run: Run, results: Mapping[str, Any], settings: str) -> Line:
    """Makes the line of a run.

    Args:
        run (Run): Its name.
        results (Mapping): Content of its ``results.json``.
        settings (str): From :func:`settings_digest`.

    Returns:
        dict[str, str]: Column to text.
    """
    versions = results.get('versions') or {}
    values = dict(zip(NAMES, run))
    for block in BLOCKS:
        for name, value in (results.get(block) or {}).items():
            values[f'{block}:{name}'] = value
    values.update({name: results.get(name) for name in TOLD})
    values['torch'] = versions.get('torch')
    values['mmkd_custom'] = versions.get('mmkd-custom')
    values[SETTINGS] = settings
    return {
        column: digits(value) if isinstance(value, float) else str(value)
        for column, value in values.items()
        if value is not None
    }


def results_of(line: Mapping[str, str]) -> Dict[str, Any]:
    """Returns what a line says of its run, as ``results.json`` has it."""
    found: Dict[str, Any] = {block: {} for block in BLOCKS}
    for column, text in line.items():
        block, colon, name = column.partition(':')
        if not colon:
            found[column] = _value(text)
        elif block in BLOCKS:
            found[block][name] = _value(text)
    return found


def settings_digest(wanted: Mapping[str, Any]) -> str:
    """Digests what decides the course of a run, part by part.

    Args:
        wanted (Mapping): From :func:`~mmkd_custom.engine.identity.identity`,
            of the config as it is read.

    Returns:
        str: ``part=digest``, one for each key of the config, and the length:
        of two runs it can be said which part of the config differs.
    """
    parts: Dict[str, Any] = {}
    for name, value in sorted(wanted['settings'].items()):
        parts.setdefault(name.partition('.')[0], {})[name] = value
    digests = {}
    for part, values in parts.items():
        text = json.dumps(values, sort_keys=True).encode()
        digests[part] = hashlib.sha256(text).hexdigest()[:8]
    length = {k: wanted[k] for k in LENGTH if wanted.get(k) is not None}
    return ' '.join(f'{k}={v}' for k, v in {**length, **digests}.items())


def differing_part(found: str, wanted: str) -> Optional[str]:
    """Returns in what two texts of :func:`settings_digest` differ first."""
    theirs, ours = (
        dict(part.split('=', 1) for part in text.split() if '=' in part)
        for text in (found, wanted)
    )
    for part in {**ours, **theirs}:
        pair = ours.get(part, 'none'), theirs.get(part, 'none')
        if pair[0] != pair[1]:
            kind = '' if part in LENGTH else ' of digest'
            return f'expected {part}{kind} {pair[0]}, got {pair[1]}'
    return None


def read_lines(path: Union[str, Path]) -> Dict[Run, Line]:
    """Reads the CSV; there may be several of them, one after the other.

    Args:
        path (str | Path): The file.

    Returns:
        dict[Run, dict[str, str]]: Lines by run; none if there is no file.

    Raises:
        UserError: If a line is malformed, or two of one run have other
            results or settings.
    """
    lines: Dict[Run, Line] = {}
    numbers: Dict[Run, int] = {}
    header: List[str] = []
    path = Path(path)
    if not path.exists():
        return lines
    text = path.read_bytes().decode('utf-8-sig', errors='replace')
    reader = csv.reader(io.StringIO(text, newline=''))
    for fields in reader:
        if tuple(fields[: len(NAMES)]) == NAMES and SETTINGS in fields:
            header = fields
            continue
        if not fields:
            continue
        line = {name: field for name, field in zip(header, fields) if field}
        if (
            len(fields) != len(header)
            or not {*NAMES, SETTINGS} <= {*line}
            or not line['seed'].isdecimal()
        ):
            raise UserError(
                f'{path}, line {reader.line_num}: expected a value for each '
                f'column of a header with {", ".join(NAMES)} and {SETTINGS}, '
                f'got {",".join(fields)[:80]!r}.'
            )
        run = Run(line['config'], line['task'], int(line['seed']))
        other = _contradiction(lines.setdefault(run, line), line)
        if other:
            raise UserError(
                f'{path}, line {reader.line_num}: expected what line '
                f'{numbers[run]} says of {run}, got another {other}; '
                'delete one of them.'
            )
        numbers.setdefault(run, reader.line_num)
    return lines


def add_lines(path: Union[str, Path], new: Mapping[Run, Line]) -> None:
    """Puts lines into the CSV, in one step and sorted.

    Args:
        path (str | Path): The file; it is made if there is none.
        new (Mapping): Lines by run; they replace those of the same runs.

    Raises:
        UserError: As :func:`read_lines`.
    """
    # Read anew: another process may have put some there meanwhile.
    lines = {**read_lines(path), **new}
    text = io.StringIO()
    columns = _columns(lines.values())
    writer = csv.DictWriter(text, columns, lineterminator='\n')
    writer.writeheader()
    writer.writerows(lines[run] for run in sorted(lines))
    content = text.getvalue().encode()
    path = Path(path)
    if new and (not path.exists() or path.read_bytes() != content):
        write_atomic(path, content)


def _columns(lines: Iterable[Line]) -> List[str]:
    """Orders the columns, those of a block by name: alike on any machine."""
    order = [*NAMES, *BLOCKS, *TOLD, SETTINGS]

    def place(column: str) -> Tuple[int, str]:
        block = column.partition(':')[0]
        # What a user has added goes last.
        return order.index(block) if block in order else len(order), column

    known = {column for line in lines for column in line}
    return sorted(known.union(NAMES, TOLD, [SETTINGS]), key=place)


def _contradiction(known: Line, line: Line) -> Optional[str]:
    """Names a result or setting in which two lines differ."""
    return next(
        (
            column
            for column in {**known, **line}
            if (column == SETTINGS or ':' in column)
            and known.get(column) != line.get(column)
        ),
        None,
    )


def _value(text: str) -> Union[int, float, str]:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text
