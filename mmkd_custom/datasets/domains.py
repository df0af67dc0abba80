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


#: What a data root of domains is to be, for the errors.
DOMAINS_WANTED = (
    'set DATA_ROOT to the folder that holds '
    '<domain>/<class>/ folders of images.'
)


def find_root(
    data_root: Optional[PathLike], wanted: str = DOMAINS_WANTED
) -> Path:
    """Checks a data root.

    Args:
        data_root (str): The folder that holds the data; ``~`` is expanded.
        wanted (str): What the error asks for. Defaults to a folder of
            domains.

    Returns:
        Path: The folder.

    Raises:
        UserError: If it does not exist.
    """
    if not data_root:
        raise UserError(f'data_root: no folder was given; {wanted}')
    root = Path(data_root).expanduser()
    if not root.is_dir():
        raise UserError(f'data_root: {root} is no existing folder; {wanted}')
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
            has this name. Says so where the domain is a level above or below
            the root.
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
    listed = ', '.join(map(repr, known[:10])) or 'none'
    more = f' and {len(known) - 10} more' if len(known) > 10 else ''
    raise UserError(
        f'domain {domain!r} is unknown in {root}: there are {listed}{more} '
        f'({nearest(domain, known)}){_elsewhere(root, known, domain)}.'
    )


def find_domains(
    data_root: PathLike, domain: Union[str, Sequence[str]]
) -> List[Path]:
    """Finds the folders of one or several domains.

    Args:
        data_root (str): The folder that holds the domains.
        domain (str | Sequence[str]): Names, or one string of names with
            commas between them.

    Returns:
        list[Path]: Their folders, in the order given.

    Raises:
        UserError: As :func:`find_domain`, and if a domain is given twice.
    """
    folders: List[Path] = []
    for name in split_names(domain):
        folder = find_domain(data_root, name)
        if folder in folders:
            raise UserError(
                f'domain {name!r} is given twice in {domain!r}; each domain '
                'is wanted once.'
            )
        folders.append(folder)
    return folders


def split_names(domain: Union[str, Sequence[str]]) -> List[str]:
    """Reads a list of names, or a string of names with commas between.

    Args:
        domain (str | Sequence[str]): Such as ``'Art,Clipart'``.

    Returns:
        list[str]: At least one name, none of them empty.

    Raises:
        UserError: If there is no name, or an empty one.
    """
    parts = domain.split(',') if isinstance(domain, str) else domain
    names = (
        [str(part).strip() for part in parts]
        if isinstance(parts, (list, tuple))
        else []
    )
    if not names or not all(names):
        raise UserError(
            'domain: a name, a list of names or names with commas between '
            f'them is wanted, but got {domain!r}.'
        )
    return names


def domain_classes(data_root: PathLike, domain: str) -> List[str]:
    """Lists the classes of a domain without looking into them.

    Args:
        data_root (str): The folder that holds the domains.
        domain (str): The domain's name.

    Returns:
        list[str]: Names of its class folders, sorted: the class order.

    Raises:
        UserError: If there is no such domain or it holds no class folder.
    """
    return folder_classes(find_domain(data_root, domain))


def folder_classes(folder: Path) -> List[str]:
    """Lists the classes of a domain's folder.

    Args:
        folder (Path): From :func:`find_domain`.

    Returns:
        list[str]: Names of its class folders in Unicode's composed form,
        sorted.

    Raises:
        UserError: If it holds no class folder, or two of one name.
    """
    classes = sorted(map(plain_name, visible_folders(class_root(folder))))
    if not classes:
        raise UserError(
            f'domain {folder.name!r}: {folder} holds no class folder, but '
            '<domain>/<class>/ folders of images are wanted.'
        )
    if is_trunked(folder):
        raise UserError(
            f'domain {folder.name!r}: {folder} holds trunk folders, whose '
            'list gives numbers and no class names; set classes_from to a '
            'domain with class folders.'
        )
    for first, second in zip(classes, classes[1:]):
        if first == second:
            raise UserError(
                f'domain {folder.name!r}: {folder} holds two class folders '
                f'called {first!r}, spelled with one and with two characters '
                'for an accented letter; put their images into one.'
            )
    return classes


def class_root(folder: Path) -> Path:
    """Finds the folder that holds a domain's class folders.

    Args:
        folder (Path): From :func:`find_domain`.

    Returns:
        Path: The folder itself, or its ``images`` as in Office-31.
    """
    inner = folder / IMAGES
    if visible_folders(folder) == [IMAGES] and visible_folders(inner):
        return inner
    return folder


def is_trunked(folder: Path) -> bool:
    """Says whether images lie in trunks of mixed classes: VisDA's test."""
    names = visible_folders(folder)
    return bool(names) and all(map(is_trunk_name, names))


def is_trunk_name(name: str) -> bool:
    """Says whether a folder name is ``trunk`` with a number."""
    return re.fullmatch(r'trunk\d+', name) is not None


def check_same_classes(
    ours: Path,
    our_classes: Sequence[str],
    other: Path,
    their_classes: Sequence[str],
) -> None:
    """Checks that two domains hold the same classes.

    Args:
        ours (Path): Folder of one domain.
        our_classes (Sequence[str]): Its classes.
        other (Path): Folder of the other.
        their_classes (Sequence[str]): Its classes.

    Raises:
        UserError: If one holds a class that the other lacks.
    """
    for only, lacking, names in (
        (ours, other, sorted(set(our_classes) - set(their_classes))),
        (other, ours, sorted(set(their_classes) - set(our_classes))),
    ):
        if names:
            listed = ', '.join(map(repr, names[:5]))
            more = f' and {len(names) - 5} more' if len(names) > 5 else ''
            raise UserError(
                f'class {listed}{more} is in domain {only.name!r} only and '
                f'not in {lacking.name!r}; both must hold the same class '
                f'folders ({ours.parent}).'
            )


def plain_spelling(name: str) -> str:
    """Gives a name as it compares: blanks, ``_``, ``-`` and case alike."""
    return re.sub(r'[\s_-]+', '_', plain_name(name).strip()).casefold()


def _spelled_like(root: Path, domain: str) -> Optional[Path]:
    known = visible_folders(root)
    if domain in known:
        return root / domain
    alike = [
        name
        for name in known
        if plain_spelling(name) == plain_spelling(domain)
    ]
    if len(alike) > 1:
        raise UserError(
            f'domain {domain!r} may be any of {alike} in {root}; give the '
            "folder's exact name."
        )
    return root / alike[0] if alike else None


def _holder_of(folder: Path, domain: str) -> Optional[Path]:
    # A class may be named as a domain is, but holds no folders.
    found = _spelled_like(folder, domain)
    return found if found and visible_folders(found) else None


def _elsewhere(root: Path, known: Sequence[str], domain: str) -> str:
    """Says where the domain is if the root is a level off."""
    near = [root / name for name in known]
    inner = class_root(root)
    # Only where its folders are classes, holding no folders, is it too deep.
    if not any(
        visible_folders(inner / name) for name in visible_folders(inner)[:3]
    ):
        near += list(root.absolute().parents)[:2]
    for folder in near:
        try:
            found = _holder_of(folder, domain)
        except (OSError, UserError):
            continue
        if found is not None:
            return f'; it is in {folder}: set DATA_ROOT to that folder'
    return ''
