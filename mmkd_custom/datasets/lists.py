"""List files, one ``relative/path label`` a line, and the classes they name.

Classes are told by the folders of the images (docs/data.md,
Folders).
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Dict, List, NamedTuple, Sequence, Set, Tuple, Union

from ..errors import UserError, nearest
from .domains import is_trunk_name, listed, plain_spelling


class ListLine(NamedTuple):
    """One image of a list file: line, from 1, relative path and label."""

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

    Raises:
        UserError: If there is none, or more than one by this spelling.
    """
    path = Path(name).expanduser()
    plain = plain_spelling(path.name)
    known: List[str] = []
    places = [(base / path).parent for base in (root, root.absolute().parent)]
    for base in dict.fromkeys([*places, root]):
        if (base / path.name).is_file():
            return base / path.name
        names = os.listdir(base) if base.is_dir() else []
        names = sorted(one for one in names if one.endswith('.txt'))
        alike = [one for one in names if plain_spelling(one) == plain]
        if len(alike) > 1:
            raise UserError(
                f"list_file: expected the file's exact name, got {name!r}, "
                f'which fits {listed(alike)} in {base}.'
            )
        if alike:
            return base / alike[0]
        known += names
    raise UserError(
        f'list_file: expected a list below {root} or beside it, one '
        f'`relative/path label` a line, got {name!r} '
        f'({nearest(path.name, known)}).'
    )


def read_lines(path: Path, option: str = '') -> List[Tuple[int, str]]:
    """Reads the lines that are not blank, each with its number, from 1.

    Args:
        path (Path): A text file; a byte order mark is passed over.
        option (str): What names it, for the error. Defaults to ''.

    Raises:
        UserError: If it cannot be read or all lines are blank.
    """
    name = f'{option}: {path}' if option else str(path)
    try:
        text = path.read_text(encoding='utf-8-sig')
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(
            f'{name}: expected a text file, got {type(error).__name__}: '
            f'{error}.'
        ) from error
    lines = enumerate(map(str.strip, text.split('\n')), start=1)
    found = [(number, line) for number, line in lines if line]
    if not found:
        raise UserError(f'{name}: expected a line, got an empty file.')
    return found


def read_list(path: Path) -> List[ListLine]:
    """Reads a list file, whose last token of a line is the label.

    So paths may hold spaces. Blank lines and lines that start with ``#`` are
    passed over.

    Raises:
        UserError: If the file cannot be read, a line has no label or one
            that is no whole number, or there is no line.
    """
    lines = []
    for number, line in read_lines(path):
        if line.startswith('#'):
            continue
        image, _, label = line.replace('\t', ' ').rpartition(' ')
        if not image or not re.fullmatch(r'[+-]?[0-9]+', label):
            raise UserError(
                f'{path}, line {number}: expected `relative/path label`, a '
                f'whole number being the last token, got {line!r}.'
            )
        lines.append(ListLine(path, number, image.rstrip(), int(label)))
    if not lines:
        raise UserError(f'{path}: expected an image, got comments only.')
    return lines


def image_base(root: Path, lines: Sequence[ListLine]) -> Path:
    """Finds the folder that the paths of one list are relative to.

    It is the first that holds one of the first images: the data root, or the
    folder of the list, as for VisDA. If neither does, the root.
    """
    for base in (root, lines[0].file.parent):
        if any((base / line.path).is_file() for line in lines[:10]):
            return base
    return root


def check_images(base: Path, lines: Sequence[ListLine]) -> None:
    """Checks that every image of a list exists below ``base``.

    Raises:
        UserError: If one does not.
    """
    # Each folder is listed once: asking about every file of a large dataset
    # takes minutes on a network's file system.
    folders: Dict[str, Set[str]] = {}
    for line in lines:
        folder, name = os.path.split(line.path)
        if folder not in folders:
            found = (base / folder).is_dir()
            folders[folder] = set(os.listdir(base / folder) if found else ())
        if name not in folders[folder]:
            raise UserError(
                f'{line.where}: expected an existing image, got '
                f'{base / line.path} '
                f'({nearest(name, sorted(folders[folder])[:1000])}).'
            )


def check_labels(lines: Sequence[ListLine], classes: Sequence[str]) -> None:
    """Checks that every label counts one of the classes.

    Raises:
        UserError: If a label is out of range.
    """
    for line in lines:
        if not 0 <= line.label < len(classes):
            raise UserError(
                f'{line.where}: expected a label from 0 to '
                f'{len(classes) - 1}, got {line.label}.'
            )


def class_names(lines: Sequence[ListLine]) -> List[str]:
    """Takes the classes from the folders that hold the images.

    Args:
        lines (Sequence[ListLine]): Lines of one or several lists.

    Returns:
        list[str]: Class names in the order of the labels.

    Raises:
        UserError: If an image lies in no class folder, a label has two names
            or a name two labels, labels do not run from 0 without gaps, or
            they are not in the order of the sorted names: sorted plainly, or
            as in a dictionary (DomainNet).
    """
    pairs: Dict[Union[int, str], ListLine] = {}
    for line in lines:
        if not line.folder or is_trunk_name(line.folder):
            raise UserError(
                f'{line.where}: expected a class folder, got {line.path!r}; '
                'give classes or classes_from.'
            )
        for key in (line.label, line.folder):
            other = pairs.setdefault(key, line)
            if (other.label, other.folder) != (line.label, line.folder):
                raise UserError(
                    f'{line.where}: expected one label for each class, got '
                    f'{line.label} for {line.folder!r}, but {other.label} for '
                    f'{other.folder!r} in {other.where}.'
                )
    labels = range(len(pairs) // 2)
    for line in pairs.values():
        if line.label not in labels:
            raise UserError(
                f'{line.where}: expected labels from 0 to {labels[-1]} '
                f'without gaps, for {len(labels)} classes, got {line.label}; '
                'give classes or classes_from where a list lacks some.'
            )
    names = [pairs[label].folder for label in labels]
    if names not in (sorted(names), sorted(names, key=_collated)):
        for name, other, label in zip(names, sorted(names), labels):
            if name != other:
                raise UserError(
                    f'{pairs[label].where}: expected labels in the order of '
                    f'the sorted class names, so {other!r} for {label}, got '
                    f"{name!r}; give classes to keep the file's order."
                )
    return names


def check_names(
    lines: Sequence[ListLine], classes: Sequence[str], only: bool = False
) -> None:
    """Checks that folders do not contradict given classes.

    Args:
        lines (Sequence[ListLine]): Lines, their labels in range.
        classes (Sequence[str]): Class names in the order of the labels.
        only (bool): Whether a folder must be named as one of the classes;
            those that the user gave need not be names of folders. Defaults to
            False.

    Raises:
        UserError: If an image lies in the folder of another class.
    """
    plain = list(map(plain_spelling, classes))
    names = set(plain)
    for line in lines:
        name = plain_spelling(line.folder)
        known = name in names or (only and name and not is_trunk_name(name))
        if known and name != plain[line.label]:
            raise UserError(
                f'{line.where}: expected an image of '
                f'{classes[line.label]!r}, label {line.label}, got one in the '
                f'folder {line.folder!r}.'
            )


def _collated(name: str) -> str:
    """Returns a sort key as a dictionary's, where 't-shirt' is 'tshirt'."""
    return re.sub(r'[\W_]+', '', name).casefold()
