"""Which dataset reads what the user names: a folder, a domain or a CSV."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Optional, Tuple, Union

from mmengine.registry import DefaultScope

from ..datasets.domains import class_root, plain_spelling
from ..datasets.images import is_image_name, visible_files, visible_folders
from ..errors import UserError, nearest
from ..registry import DATASETS

PathLike = Union[str, os.PathLike]
TABLES = ('.csv', '.tsv')
#: A folder of this name beside class folders is hardly a class.
NO_CLASSES = ('unlabelled', 'unlabeled', 'labelled', 'labeled')


def find_place(
    option: str, name: PathLike, data: Optional[PathLike] = None
) -> Path:
    """Finds a folder or CSV, below ``data`` or wherever its path leads.

    What is called exactly so in ``data`` wins, then the path as it is, then
    what is spelled alike in ``data``.

    Args:
        option (str): What names it, for the error.
        name (str): A path, or the name of a folder or file in ``data``, of
            which blanks, ``_``, ``-`` and case do not matter.
        data (str, optional): The folder that holds it. Defaults to None.

    Raises:
        UserError: If there is none.
    """
    path = Path(name).expanduser()
    known = []
    if data is not None:
        root = Path(data).expanduser()
        if (root / path).exists():
            path = root / path
        elif root.is_dir() and not _can_be_read(path):
            known = sorted(os.listdir(root))
            plain = plain_spelling(str(name))
            alike = [one for one in known if plain_spelling(one) == plain]
            path = root / alike[0] if len(alike) == 1 else path
    if _can_be_read(path):
        # The config that is made shall run from any folder.
        return Path(os.path.abspath(path))
    near = f' ({nearest(str(name), known)} in {data})' if known else ''
    raise UserError(
        f'{option}: expected an existing folder of images or a '
        f'{" or ".join(TABLES)} file, got {str(name)!r}{near}.'
    )


def stem_of(name: Optional[PathLike]) -> str:
    """Returns what the folder or file of a path is called.

    Args:
        name (str, optional): The path; '.' and '..' are called as the folders
            that they are.
    """
    path = os.path.abspath(Path(name or '').expanduser())
    return (Path(path).stem if name else '') or 'images'


def labelled_spec(option: str, place: Path) -> dict:
    """Returns the dataset of a place whose labels are read.

    Args:
        option (str): What named it, for the error.
        place (Path): A folder of classes, or a table.

    Raises:
        UserError: If the folder holds no classes.
    """
    if place.is_file():
        return dict(type='mmkd_custom.ImageCSV', csv_file=str(place))
    _check_class_folders(option, place)
    # A list: a folder's name may have a comma.
    return dict(
        type='mmkd_custom.DomainFolder',
        data_root=str(place.parent),
        domain=[place.name],
    )


def unlabelled_spec(place: Path, rows: str = 'all') -> dict:
    """Returns the dataset of a place of which no label is read.

    Args:
        place (Path): A folder of images, however it is sorted, or a table.
        rows (str): Of a table. Defaults to 'all'.
    """
    if place.is_file():
        return dict(
            type='mmkd_custom.ImageCSV', csv_file=str(place), rows=rows
        )
    return dict(type='mmkd_custom.ImageFolder', data_root=str(place))


def build(option: str, spec: dict, **more: Any) -> Any:
    """Builds a dataset that lists its images and opens none.

    Raises:
        UserError: What the dataset does not like, after the option.
    """
    with DefaultScope.overwrite_default_scope('mmkd_custom'):
        try:
            return DATASETS.build(dict(spec, pipeline=[], **more))
        except UserError as error:
            raise UserError(f'{option}: {error}') from error


def images_of(dataset: Any) -> Tuple[str, ...]:
    """Returns the path of every image of a dataset, in order."""
    infos = (dataset.get_data_info(i) for i in range(len(dataset)))
    return tuple(info['img_path'] for info in infos)


def _can_be_read(path: Path) -> bool:
    return path.is_dir() or (path.is_file() and path.suffix.lower() in TABLES)


def _check_class_folders(option: str, place: Path) -> None:
    root = class_root(place)
    names = visible_folders(root)
    expected = f'{option}: expected a folder for each class in {place}'
    if not names:
        found = sum(map(is_image_name, visible_files(place)))
        raise UserError(
            f'{expected}, got {found or "no"} images and no folders'
            + ('; images without labels go to --unlabelled.' if found else '.')
        )
    odd = [name for name in names if name.lower() in NO_CLASSES]
    if odd:
        raise UserError(
            f'{expected}, got {odd[0]!r}, which is hardly a class; name the '
            'folders with --labelled and --unlabelled.'
        )
    direct = [any(map(is_image_name, os.listdir(root / n))) for n in names]
    if not any(direct) and any(visible_folders(root / n) for n in names):
        raise UserError(
            f'{expected}, got folders of folders '
            f'({", ".join(map(repr, names[:5]))}); name the labelled one with '
            '--labelled, and another with --unlabelled.'
        )
