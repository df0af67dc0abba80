"""Which classes list files name, told by the folders of the images."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Dict, List, Sequence, Union

from ..errors import UserError
from .domains import is_trunk_name, plain_spelling
from .lists import ListLine


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
            as in a dictionary.
    """
    first_of_label: Dict[int, ListLine] = {}
    first_of_name: Dict[str, ListLine] = {}
    for line in lines:
        name = line.folder
        if not name or is_trunk_name(name):
            raise UserError(
                f'{line.where}: no class folder in {line.path!r} names label '
                f'{line.label}; give classes or classes_from.'
            )
        for other in (
            first_of_label.setdefault(line.label, line),
            first_of_name.setdefault(name, line),
        ):
            if (other.label, other.folder) != (line.label, name):
                raise UserError(
                    f'{line.where}: class {name!r} has label {line.label}, '
                    f'but {other.where} gives {other.folder!r} the label '
                    f'{other.label}; a name and a label must go together.'
                )
    count = len(first_of_label)
    for label, line in first_of_label.items():
        if not 0 <= label < count:
            raise UserError(
                f'{line.where}: label {label} is out of range; the list '
                f'names {count} classes, so labels 0 to {count - 1} without '
                'gaps are wanted (give classes or classes_from where a list '
                'lacks some).'
            )
    names = [first_of_label[label].folder for label in range(count)]
    if names != sorted(names) and names != sorted(names, key=_collated):
        label = next(
            label
            for label, (name, wanted) in enumerate(zip(names, sorted(names)))
            if name != wanted
        )
        raise UserError(
            f'{first_of_label[label].where}: the labels are not in the order '
            f'of the sorted class names: label {label} is {names[label]!r}, '
            f'but {sorted(names)[label]!r} is wanted; give classes to keep '
            "the file's order."
        )
    return names


def given_names(classes: Union[str, Sequence[str]]) -> List[str]:
    """Reads class names that the user gives.

    Args:
        classes (Sequence[str] | str): The names, or a file with one a line.

    Returns:
        list[str]: The names, in the same order.

    Raises:
        UserError: If the file cannot be read, or these are no names, or one
            of them is blank or given twice.
    """
    names: Sequence[str] = classes
    if isinstance(classes, str):
        try:
            text = Path(classes).expanduser().read_text(encoding='utf-8-sig')
        except (OSError, UnicodeDecodeError) as error:
            raise UserError(
                f'classes: {classes} cannot be read as a file with a class '
                f'name a line ({type(error).__name__}: {error}).'
            ) from error
        names = [line.strip() for line in text.strip().split('\n')]
    if not isinstance(names, (list, tuple)) or not all(
        isinstance(name, str) and name.strip() for name in names
    ):
        raise UserError(
            'classes: class names, none of them blank, or a file with one a '
            f'line are wanted, but got {classes!r}.'
        )
    for number, name in enumerate(names):
        if name in names[:number]:
            raise UserError(
                f'classes: {name!r} is given twice; each class is wanted '
                'once, in the order of the labels.'
            )
    return list(names)


def _collated(name: str) -> str:
    """Gives a sort key as a dictionary's, where 't-shirt' is 'tshirt'."""
    return re.sub(r'[\W_]+', '', name).casefold()


def check_names(
    lines: Sequence[ListLine], classes: Sequence[str], only: bool = False
) -> None:
    """Checks that folders do not contradict given classes.

    Args:
        lines (Sequence[ListLine]): Lines, their labels in range.
        classes (Sequence[str]): Class names in the order of the labels.
        only (bool): Whether a folder must be named as one of the classes;
            without it, folders of other names are passed over, since names
            that the user gave need not be those of the folders. Defaults to
            False.

    Raises:
        UserError: If an image lies in the folder of another class.
    """
    plain = [plain_spelling(name) for name in classes]
    known = set(plain)
    for line in lines:
        name = plain_spelling(line.folder)
        if not only and name not in known:
            continue
        if is_trunk_name(name) or not name:
            continue
        if name != plain[line.label]:
            raise UserError(
                f'{line.where}: label {line.label} is '
                f'{classes[line.label]!r}, but the image lies in the folder '
                f'{line.folder!r}.'
            )


def check_complete(
    lines: Sequence[ListLine],
    classes: Sequence[str],
    domain: str,
    classes_from: Union[str, Sequence[str]],
) -> None:
    """Checks that every class has an image.

    Args:
        lines (Sequence[ListLine]): Lines of one or several lists.
        classes (Sequence[str]): Class names in the order of the labels.
        domain (str): Whose lists they are.
        classes_from (str | Sequence[str]): Whose classes they are.

    Raises:
        UserError: If a class has none.
    """
    missing = sorted(set(range(len(classes))) - {x.label for x in lines})
    if missing:
        listed = ', '.join(repr(classes[label]) for label in missing[:5])
        more = f' and {len(missing) - 5} more' if len(missing) > 5 else ''
        raise UserError(
            f'class {listed}{more} is in the lists of {classes_from!r} only '
            f'and not in those of {domain!r}; both must name the same '
            'classes.'
        )
