"""Which files of a folder are images, and whether one can be decoded."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, Optional, Tuple

import mmcv
from mmpretrain.datasets import ImageNet
from PIL import Image

from ..errors import UserError

IMAGE_EXTENSIONS = (*ImageNet.IMG_EXTENSIONS, '.tiff', '.webp')
#: What file servers, archives and systems put beside a user's files.
RUBBISH = (
    *('@eaDir', '@Recycle', '#recycle', '$RECYCLE.BIN'),
    *('System Volume Information', '__MACOSX', 'lost+found'),
)
# What both Pillow and OpenCV, which loads the training images, decode.
COMMON_FORMATS = ('BMP', 'JPEG', 'PNG', 'PPM', 'TIFF', 'WEBP')


def is_image_name(name: str) -> bool:
    """Whether a file name has an image's extension, in any case."""
    return name.lower().endswith(IMAGE_EXTENSIONS)


def is_visible(name: str) -> bool:
    """Whether a file or folder is the user's, not the system's."""
    return not name.startswith('.') and name not in RUBBISH


def visible_folders(folder: Path) -> List[str]:
    """Lists the names of a folder's subfolders, sorted.

    Those that are not :func:`visible <is_visible>` and links that lead back
    to the folder are left out.
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
    """Walks all visible files below a folder, in no fixed order.

    Symbolic links are followed, but none that leads back, and no folder is
    walked twice.

    Args:
        folder (Path): An existing folder.
        seen (dict[str, str], optional): The folders of earlier walks, each by
            where it really is; gets those of this one. Defaults to None.

    Yields:
        str: Paths relative to the folder, with ``/``.
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
    """Whether a link leads to a folder that holds the root."""
    target = os.path.join(os.path.realpath(link), '')
    return os.path.join(root, '').startswith(target)


def decode(content: bytes) -> Tuple[Optional[Tuple[int, int]], Optional[str]]:
    """Decodes all of an image file's bytes to see whether it is sound.

    Returns:
        tuple: Width and height in pixels, and None; or None, and why it
        cannot be decoded.
    """
    # Decoders raise nearly any exception on damaged input.
    try:
        with Image.open(io.BytesIO(content)) as image:
            image.load()
            kind, size = image.format, image.size
    except Exception as error:
        # Pillow names the buffer, at an address that says nothing.
        reason = str(error).split(' <_io.BytesIO', 1)[0]
        return None, f'{type(error).__name__}: {reason}'
    if kind not in COMMON_FORMATS and not _opencv_decodes(content):
        return None, f'OpenCV cannot decode the format {kind}'
    return size, None


def load_sample(pipeline: Callable[[dict], Any], data_info: dict) -> Any:
    """Runs a dataset's pipeline on what the dataset knows of one sample.

    None, when the pipeline drops a sound image, is returned as it is.

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
    try:
        content = Path(path).read_bytes()
        _, reason = decode(content)
        if reason is None and not _opencv_decodes(content):
            reason = 'OpenCV cannot decode it'
    except OSError as error:
        reason = f'{type(error).__name__}: {error}'
    if reason is not None:
        raise UserError(
            f'{path}: expected an image, got {reason}; replace or remove it '
            '(tools/check_dataset.py lists all such files).'
        ) from cause


def _opencv_decodes(content: bytes) -> bool:
    try:
        return mmcv.imfrombytes(content, backend='cv2') is not None
    except Exception:
        return False
