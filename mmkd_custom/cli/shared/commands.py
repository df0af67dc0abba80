"""Which commands there are, told without importing one."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Dict

from ...errors import UserError, nearest
from ...utils.shipped import shipped

FOLDER = Path(__file__).resolve().parents[1]
#: Other names of commands.
SHORT = dict(export='export_student')


def commands() -> Dict[str, str]:
    """Returns the names of all commands, and the first line of each."""
    return {name: _first_line(file) for name, file in sorted(files().items())}


def files() -> Dict[str, Path]:
    """Returns the file of each command, by its name."""
    places = (FOLDER, FOLDER / 'teachers')
    found = (file for place in places for file in place.glob('[a-z]*.py'))
    return {file.stem: file for file in found}


def module_of(name: str) -> str:
    """Returns the module of a command, within the package of commands."""
    parts = files()[name].relative_to(FOLDER).with_suffix('').parts
    return '.'.join(parts)


def _first_line(file: Path) -> str:
    text = ast.get_docstring(ast.parse(file.read_text(encoding='utf-8')))
    return (text or '').partition('\n')[0]


def find(word: str) -> str:
    """Finds a command by what a user has called it.

    Args:
        word (str): Its name, hyphens or underscores alike, or a short one.

    Returns:
        str: Its file, without ``.py``.

    Raises:
        UserError: If there is no such command; names the nearest.
    """
    known = commands()
    name = word.replace('-', '_')
    name = SHORT.get(name, name)
    if name not in known:
        raise UserError(
            f'mmkd {word}: expected a command, {nearest(name, known)}; '
            'mmkd --help lists all.'
        )
    return name


def overview() -> str:
    """Returns what ``mmkd --help`` says."""
    known = commands()
    width = max(map(len, known)) + 2
    lines = [f'  {name:{width}}{line}' for name, line in known.items()]
    return '\n'.join(
        (
            'usage: mmkd COMMAND [arguments]',
            '',
            'Distils vision foundation models into edge models.',
            '',
            *lines,
            '',
            'mmkd COMMAND --help tells the arguments.',
            f'configs: {shipped("configs")}',
            f'scripts for several GPUs and for Slurm: {shipped("tools")}',
        )
    )
