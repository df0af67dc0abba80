"""Which image files are named by paths, folders and patterns."""

from __future__ import annotations

import glob
import os
from pathlib import Path
from typing import Dict, List, NamedTuple, Optional, Sequence, Union

from ..datasets.images import is_image_name, visible_files
from ..errors import UserError


class ImageFile(NamedTuple):
    """An image file.

    Args:
        path (str): Where it is, as it was named.
        place (str): The same from the folder that all images lie in.
    """

    path: str
    place: str


def find_images(words: Sequence[str]) -> List[ImageFile]:
    """Finds the images that a user has named.

    Args:
        words (Sequence[str]): Files, whatever their ending; folders, of which
            all visible images are taken, those of subfolders too; or glob
            patterns, with ``**``, of either.

    Returns:
        list[ImageFile]: Each file once: in the order of the words, of a
        folder or pattern sorted.

    Raises:
        UserError: If a word names no image.
    """
    found: Dict[str, str] = {}
    bases: List[str] = []
    for word in words:
        named = 0
        for name in _matched(str(word)):
            folder = os.path.isdir(name)
            bases.append(name if folder else os.path.dirname(name))
            for path in _below(name) if folder else [name]:
                found.setdefault(os.path.abspath(path), path)
                named += 1
        if not named:
            raise UserError(
                f'{word}: expected an image, a folder of images or a pattern '
                'that matches some, got none.'
            )
    root = os.path.commonpath([os.path.abspath(base) for base in bases])
    return [
        ImageFile(path, Path(os.path.relpath(whole, root)).as_posix())
        for whole, path in found.items()
    ]


def check_places(
    words: Sequence[str],
    files: Sequence[ImageFile],
    outputs: Dict[str, Union[str, Path, None]],
    copy_to: Union[str, Path, None] = None,
) -> None:
    """Refuses outputs that would replace an image, each other, or be images.

    Args:
        words (Sequence[str]): What a user has named.
        files (Sequence[ImageFile]): The images of that.
        outputs (dict[str, str | Path | None]): Files to write, by option.
        copy_to (str | Path, optional): Folder of copies. Defaults to None.

    Raises:
        UserError: If a file is one of the images or named twice, or the
            folder lies in one whose images are asked about.
    """
    taken: Dict[str, Optional[str]] = {
        os.path.realpath(file.path): None for file in files
    }
    for option, path in outputs.items():
        if path is None:
            continue
        real = os.path.realpath(path)
        if real in taken:
            other = taken[real] or 'one of the images that are predicted'
            raise UserError(
                f'{option} {path}: expected a file of its own, got {other}.'
            )
        taken[real] = option
    if copy_to is None:
        return
    real = Path(os.path.realpath(os.path.expanduser(copy_to)))
    for name in (name for word in words for name in _matched(str(word))):
        if os.path.isdir(name) and Path(os.path.realpath(name)) in (
            *real.parents,
            real,
        ):
            raise UserError(
                f'--copy-to {copy_to}: expected a folder outside {name}, '
                'whose images would be predicted with their copies.'
            )


def _matched(word: str) -> List[str]:
    """Returns what a word names: itself if it is there, else what matches."""
    word = os.path.expanduser(word)
    if os.path.exists(word):
        return [word]
    return sorted(
        name
        for name in glob.glob(word, recursive=True)
        # Of what a pattern matches, not what was written beside the images.
        if os.path.isdir(name) or is_image_name(name)
    )


def _below(folder: str) -> List[str]:
    names = sorted(filter(is_image_name, visible_files(Path(folder))))
    return [os.path.join(folder, name) for name in names]
