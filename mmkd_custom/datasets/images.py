"""Which files of a folder are images, and whether one can be decoded."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, Optional

import mmcv
from mmpretrain.datasets import ImageNet
from PIL import Image

from ..errors import UserError

IMAGE_EXTENSIONS = (*ImageNet.IMG_EXTENSIONS, '.tiff', '.webp')
#: What file servers, archives and systems put beside a user's files.
RUBBISH = (
    '@eaDir',
    '@Recycle',
    '#recycle',
    '$RECYCLE.BIN',
    'System Volume Information',
    '__MACOSX',
    'lost+found',
)
# What both Pillow and OpenCV, which loads the training images, decode.
COMMON_FORMATS = ('BMP', 'JPEG', 'PNG', 'PPM', 'TIFF', 'WEBP')


def is_image_name(name: str) -> bool:
    """Says whether a file name has an image's extension, in any case."""
    return name.lower().endswith(IMAGE_EXTENSIONS)


def is_visible(name: str) -> bool:
    """Says whether a file or folder is the user's, not the system's."""
    return not name.startswith('.') and name not in RUBBISH


def visible_folders(folder: Path) -> List[str]:
    """Lists the names of a folder's subfolders, sorted.

    Args:
        folder (Path): An existing folder.

    Returns:
        list[str]: Folder names, without those that are not
        :func:`visible <is_visible>` and links that lead back to the folder.
    """
    root = os.path.realpath(folder)
    with os.scandir(folder) as entries:
        return sorted(
            entry.name
            for entry in entries
            if entry.is_dir()
            and is_visible(entry.name)
            and not (entry.is_symlink() and _leads_back(entry.path, root))
        )


def visible_files(
    folder: Path, seen: Optional[Dict[str, str]] = None
) -> Iterator[str]:
    """Walks all files below a folder, hidden files and folders left out.

    Args:
        folder (Path): An existing folder. Symbolic links are followed, but
            none that leads back, and no folder is walked twice.
        seen (dict[str, str], optional): The folders of earlier walks, each by
            where it really is; gets those of this one. Defaults to None.

    Yields:
        str: Paths relative to the folder, with ``/``, in no fixed order.
    """
    seen = {} if seen is None else seen
    root = os.path.realpath(folder)
    for parent, folders, files in os.walk(folder, followlinks=True):
        real = os.path.realpath(parent)
        if real in seen:
            folders.clear()
            continue
        seen[real] = parent
        kept = []
        for name in filter(is_visible, folders):
            path = os.path.join(parent, name)
            link = os.path.islink(path)
            if not (link and _leads_back(path, root)):
                kept.append((link, name))
        # What is there itself before what links to it.
        folders[:] = [name for _, name in sorted(kept)]
        relative = Path(parent).relative_to(folder)
        for name in filter(is_visible, files):
            yield (relative / name).as_posix()


def _leads_back(link: str, root: str) -> bool:
    """Says whether a link leads to a folder that holds the root."""
    target = os.path.join(os.path.realpath(link), '')
    return os.path.join(root, '').startswith(target)


def decode_error(path: str) -> Optional[str]:
    """Decodes a whole image file to see whether it is sound.

    Args:
        path (str): The file.

    Returns:
        str | None: Why it cannot be decoded; None if it can.
    """
    # Decoders raise nearly any exception on damaged input.
    try:
        with Image.open(path) as image:
            image.load()
            kind = image.format
    except Exception as error:
        return f'{type(error).__name__}: {error}'
    if kind not in COMMON_FORMATS and not _opencv_reads(path):
        return f'OpenCV cannot decode the format {kind}'
    return None


def load_sample(pipeline: Callable[[dict], Any], data_info: dict) -> Any:
    """Runs a dataset's pipeline on one sample.

    Args:
        pipeline (Callable): The pipeline.
        data_info (dict): What the dataset knows of the sample. Pipelines
            write into it.

    Returns:
        Any: What the pipeline returns; None means that it dropped a sound
        image.

    Raises:
        UserError: If the pipeline fails and the image file cannot be decoded.
    """
    path = data_info.get('img_path')
    try:
        sample = pipeline(data_info)
    except UserError:
        raise
    except Exception as error:
        _refuse_broken(path, error)
        raise
    if sample is None:
        _refuse_broken(path, None)
    return sample


def _refuse_broken(path: Optional[str], cause: Optional[Exception]) -> None:
    if path is None:
        return
    reason = decode_error(path)
    if reason is None and not _opencv_reads(path):
        reason = 'OpenCV cannot decode it'
    if reason is not None:
        raise UserError(
            f'{path}: this image cannot be read ({reason}); replace or remove '
            'it (tools/check_dataset.py lists all such files).'
        ) from cause


def _opencv_reads(path: str) -> bool:
    try:
        return mmcv.imread(path, backend='cv2') is not None
    except Exception:
        return False
