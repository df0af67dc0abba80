"""Where the domains of a dataset lie, and which classes they hold."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import List, Optional, Sequence, Union

from ..errors import UserError, nearest
from ..utils.class_names import plain_name
from .images import visible_folders

PathLike = Union[str, os.PathLike]

#: Folders that the archives of PACS and OfficeHome put around the domains.
WRAPPERS = ('kfold', 'pacs_data', 'officehomedataset_10072016')
#: Office-31 puts this between a domain and its classes.
IMAGES = 'images'


def find_root(
    data_root: Optional[PathLike],
    content: str = '<domain>/<class>/ folders of images',
) -> Path:
    """Checks that a data root exists; ``~`` is expanded.

    Args:
        data_root (str): The folder that holds the data.
        content (str): What it is to hold, for the error. Defaults to folders
            of domains.

    Raises:
        UserError: If it does not exist.
    """
    root = Path(data_root or '').expanduser()
    if not data_root or not root.is_dir():
        raise UserError(
            f'data_root: expected an existing folder with {content}, got '
            f'{str(data_root)!r}; set DATA_ROOT.'
        )
    return root


def find_domain(data_root: PathLike, domain: str) -> Path:
    """Finds the folder of a domain, however its name is spelled.

    ``Real World``, ``Real_World`` and ``real-world`` are one domain: the
    archive of OfficeHome and the code that uses it differ in this. Where the
    root does not hold it, a folder that an archive puts around its domains
    (:data:`WRAPPERS`, or the root's only folder) is looked into.

    Args:
        data_root (str): The folder that holds the domains.
        domain (str): The domain's name.

    Returns:
        Path: The folder of the domain.

    Raises:
        UserError: If the root is missing, or not exactly one of its folders
            has this name.
    """
    root = find_root(data_root)
    domain = str(domain)
    known = visible_folders(root)
    found = _spelled_like(root, domain)
    if found is not None:
        return found
    for name in known:
        if plain_spelling(name) in WRAPPERS or len(known) == 1:
            found = _holder_of(root / name, domain)
            if found is not None:
                return found
    raise UserError(
        f'domain {domain!r}: expected a folder of {root}, got '
        f'{listed(known, 10) or "none"} ({nearest(domain, known)}); set '
        'DATA_ROOT to the folder that holds it.'
    )


def find_domains(
    data_root: PathLike, domain: Union[str, Sequence[str]]
) -> List[Path]:
    """Finds the folders of the domains that :func:`split_names` reads.

    Raises:
        UserError: As :func:`find_domain`, and if a domain is given twice.
    """
    folders = [find_domain(data_root, name) for name in split_names(domain)]
    if len(set(folders)) < len(folders):
        raise UserError(f'domain: expected each once, got {domain!r}.')
    return folders


def split_names(domain: Union[str, Sequence[str]]) -> List[str]:
    """Reads a list of names, or a string such as ``'Art,Clipart'``.

    Raises:
        UserError: If there is no name, or an empty one.
    """
    parts = domain.split(',') if isinstance(domain, str) else domain
    names = []
    if isinstance(parts, (list, tuple)):
        names = [str(part).strip() for part in parts]
    if not names or not all(names):
        raise UserError(
            'domain: expected a name, a list of names or names with commas '
            f'between them, got {domain!r}.'
        )
    return names


def domain_classes(data_root: PathLike, domain: str) -> List[str]:
    """Lists the classes of a domain without looking into them.

    Args:
        data_root (str): The folder that holds the domains.
        domain (str): The domain's name.

    Raises:
        UserError: As :func:`find_domain` and :func:`folder_classes`.
    """
    return folder_classes(find_domain(data_root, domain))


def folder_classes(folder: Path) -> List[str]:
    """Returns the names of a domain's class folders, sorted: the class order.

    Names are in Unicode's composed form.

    Raises:
        UserError: If it holds no class folder, or two of one name.
    """
    classes = sorted(map(plain_name, visible_folders(class_root(folder))))
    expected = f'domain {folder.name!r}: expected class folders in {folder}'
    if not classes:
        raise UserError(f'{expected}, got none.')
    if is_trunked(folder):
        raise UserError(
            f'{expected}, got trunk folders, whose list gives numbers and no '
            'names; set classes_from to a domain with class folders.'
        )
    for first, second in zip(classes, classes[1:]):
        if first == second:
            raise UserError(
                f'{expected}, each of another name, got {first!r} twice, '
                'spelled with one and with two characters for an accented '
                'letter.'
            )
    return classes


def class_root(folder: Path) -> Path:
    """Returns the folder of the class folders: its ``images`` in Office-31."""
    inner = folder / IMAGES
    if visible_folders(folder) == [IMAGES] and visible_folders(inner):
        return inner
    return folder


def is_trunked(folder: Path) -> bool:
    """Whether images lie in trunks of mixed classes, as VisDA's test."""
    names = visible_folders(folder)
    return bool(names) and all(map(is_trunk_name, names))


def is_trunk_name(name: str) -> bool:
    """Whether a folder name is ``trunk`` with a number."""
    return re.fullmatch(r'trunk\d+', name) is not None


def check_same_classes(
    ours: Path,
    our_classes: Sequence[str],
    other: Path,
    their_classes: Sequence[str],
) -> None:
    """Checks that two domains, each a folder and its classes, hold the same.

    Raises:
        UserError: If one holds a class that the other lacks.
    """
    first, second = set(our_classes), set(their_classes)
    only, lacking = (ours, other) if first - second else (other, ours)
    names = sorted(first - second or second - first)
    if names:
        raise UserError(
            f'expected the same class folders in {ours} and {other}, got '
            f'class {listed(names)} in {only.name!r} only and not in '
            f'{lacking.name!r}.'
        )


def plain_spelling(name: str) -> str:
    """Returns a name as it compares: blanks, ``_``, ``-`` and case alike."""
    return re.sub(r'[\s_-]+', '_', plain_name(name).strip()).casefold()


def listed(names: Sequence[str], count: int = 5) -> str:
    """Returns the first names for a sentence, and how many more there are."""
    more = f' and {len(names) - count} more' if len(names) > count else ''
    return ', '.join(map(repr, names[:count])) + more


def _spelled_like(root: Path, domain: str) -> Optional[Path]:
    known = visible_folders(root)
    if domain in known:
        return root / domain
    plain = plain_spelling(domain)
    alike = [name for name in known if plain_spelling(name) == plain]
    if len(alike) > 1:
        raise UserError(
            f"domain {domain!r}: expected the folder's exact name, got one "
            f'that fits {listed(alike)} in {root}.'
        )
    return root / alike[0] if alike else None


def _holder_of(folder: Path, domain: str) -> Optional[Path]:
    # A class may be named as a domain is, but holds no folders.
    found = _spelled_like(folder, domain)
    return found if found and visible_folders(found) else None
