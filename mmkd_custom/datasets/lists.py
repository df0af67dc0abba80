"""List files: one ``relative/path label`` a line."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Dict, List, NamedTuple, Sequence, Set

from ..errors import UserError, nearest
from .domains import plain_spelling


class ListLine(NamedTuple):
    """One image of a list file.

    Args:
        file (Path): The list file.
        number (int): The line's number, from 1.
        path (str): Path of the image, relative, with ``/``.
        label (int): Its label.
    """

    file: Path
    number: int
    path: str
    label: int

    @property
    def where(self) -> str:
        """The list file and the line, for an error sentence."""
        return f'{self.file}, line {self.number}'

    @property
    def folder(self) -> str:
        """Name of the folder that holds the image; '' without one."""
        return os.path.basename(os.path.dirname(self.path))


def find_list(root: Path, name: str) -> Path:
    """Finds a list file below or beside a folder.

    Args:
        root (Path): The data root.
        name (str): Path of the list, relative to the root or to the folder
            that holds the root; or absolute. In the file's name blanks,
            ``_``, ``-`` and case do not matter. A list that is in neither
            place may lie in the root itself, as DomainNet's do when they are
            fetched from its page.

    Returns:
        Path: The file.

    Raises:
        UserError: If there is none, or more than one by this spelling.
    """
    wanted = Path(name).expanduser()
    bases = [root, root.absolute().parent]
    known: List[str] = []
    places = [(base / wanted).parent for base in bases]
    for base in dict.fromkeys([*places, root]):
        if (base / wanted.name).is_file():
            return base / wanted.name
        if not base.is_dir():
            continue
        names = [one for one in os.listdir(base) if one.endswith('.txt')]
        alike = [
            one
            for one in names
            if plain_spelling(one) == plain_spelling(wanted.name)
        ]
        if len(alike) > 1:
            raise UserError(
                f'list_file: {wanted.name!r} may be any of {sorted(alike)} '
                f"in {base}; give the file's exact name."
            )
        if alike:
            return base / alike[0]
        known += names
    raise UserError(
        f'list_file: {name!r} is no file below {root} or beside it '
        f'({nearest(wanted.name, known)}); a list with one `relative/path '
        'label` a line is wanted.'
    )


def read_list(path: Path) -> List[ListLine]:
    """Reads a list file.

    The last token of a line is the label, so that paths may hold spaces.
    Blank lines and lines that start with ``#`` are passed over.

    Args:
        path (Path): The file.

    Returns:
        list[ListLine]: At least one line, in the file's order.

    Raises:
        UserError: If the file cannot be read, a line has no label or one
            that is no whole number, or no line holds an image.
    """
    try:
        # A mark of byte order would become part of the first path.
        text = path.read_text(encoding='utf-8-sig')
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(
            f'{path}: cannot be read as a list of images '
            f'({type(error).__name__}: {error}).'
        ) from error
    lines = []
    for number, line in enumerate(text.split('\n'), start=1):
        line = line.strip()
        if not line or line.startswith('#'):
            continue
        image, _, label = line.replace('\t', ' ').rpartition(' ')
        if not image or not re.fullmatch(r'[+-]?[0-9]+', label):
            got = f'no number ({label!r})' if image else 'no label'
            raise UserError(
                f'{path}, line {number}: `relative/path label` is wanted, a '
                f'whole number being the last token, but got {got} in '
                f'{line!r}.'
            )
        lines.append(ListLine(path, number, image.rstrip(), int(label)))
    if not lines:
        raise UserError(f'{path}: the list names no image.')
    return lines


def check_labels(lines: Sequence[ListLine], classes: Sequence[str]) -> None:
    """Checks that every label counts one of the classes.

    Args:
        lines (Sequence[ListLine]): Lines of a list.
        classes (Sequence[str]): Class names in the order of the labels.

    Raises:
        UserError: If a label is out of range.
    """
    for line in lines:
        if not 0 <= line.label < len(classes):
            raise UserError(
                f'{line.where}: label {line.label} is out of range; there '
                f'are {len(classes)} classes, so 0 to {len(classes) - 1} is '
                'wanted.'
            )


def image_base(root: Path, lines: Sequence[ListLine]) -> Path:
    """Finds the folder that the paths of one list are relative to.

    Args:
        root (Path): The data root, which is tried first; then the folder of
            the list, as for VisDA.
        lines (Sequence[ListLine]): Lines of one list.

    Returns:
        Path: The first that holds one of the first images; else the root.
    """
    for base in (root, lines[0].file.parent):
        if any((base / line.path).is_file() for line in lines[:10]):
            return base
    return root


def check_images(base: Path, lines: Sequence[ListLine]) -> None:
    """Checks that every image of a list exists.

    Args:
        base (Path): What the paths are relative to.
        lines (Sequence[ListLine]): Lines of a list.

    Raises:
        UserError: If one does not.
    """
    # Each folder is listed once: asking about every file of a large dataset
    # takes minutes on a network's file system.
    folders: Dict[str, Set[str]] = {}
    for line in lines:
        folder, name = os.path.split(line.path)
        if folder not in folders:
            try:
                folders[folder] = set(os.listdir(base / folder))
            except OSError:
                folders[folder] = set()
        if name not in folders[folder]:
            raise UserError(
                f'{line.where}: the image {base / line.path} does not exist '
                f'({nearest(name, sorted(folders[folder])[:1000])}).'
            )
