"""The files of a feature store: what they take, making and opening them."""

from __future__ import annotations

import errno
import json
import math
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any, Mapping, Sequence, Tuple

import numpy as np

from ..errors import UserError
from ..utils.files import umask, write_atomic

#: Where a cache is in a run's work directory, unless the config says so.
CACHE_FOLDER = 'teacher_cache'
MANIFEST_FILE = 'manifest.json'
CHECKSUMS_FILE = 'checksums.u32'

DTYPES = {'float16': np.float16, 'float32': np.float32}
_SUFFIXES = {'float16': 'f16', 'float32': 'f32'}

#: What says that nothing can be made beside a folder, or moved over it.
_NOT_BESIDE = (
    errno.EACCES,
    errno.EBUSY,
    errno.EPERM,
    errno.EROFS,
    errno.EXDEV,
)


def file_name(output: str, dtype: str) -> str:
    """Names the file of one output, such as ``feature.f16``."""
    return f'{output}.{_SUFFIXES[dtype]}'


def entry_bytes(shapes: Mapping[str, Sequence[int]], dtype: str) -> int:
    """Computes what one entry takes on disk.

    Args:
        shapes (Mapping[str, tuple[int]]): Shape of one entry of each output.
        dtype (str): 'float16' or 'float32'.

    Returns:
        int: Bytes, its checksum included.
    """
    numbers = sum(math.prod(shape) for shape in shapes.values())
    return numbers * np.dtype(DTYPES[dtype]).itemsize + 4


def create(
    folder: Path,
    manifest: Mapping[str, Any],
    entries: int,
    shapes: Mapping[str, Sequence[int]],
    dtype: str,
) -> bool:
    """Makes the files beside their place, then moves them there.

    All blocks are reserved at once: a disk that fills up later must not
    meet a write to memory, which would kill the process.

    Args:
        folder (Path): Where they are wanted.
        manifest (Mapping[str, Any]): Content of the manifest.
        entries (int): Number of entries.
        shapes (Mapping[str, tuple[int]]): Shape of one entry of each output.
        dtype (str): 'float16' or 'float32'.

    Returns:
        bool: Whether these files are in place; else those of another process
        that was quicker.

    Raises:
        UserError: If the folder holds something else, the disk is too small,
            or nothing can be written there.
    """
    parent = folder.parent
    try:
        parent.mkdir(parents=True, exist_ok=True)
        if folder.exists() and any(folder.iterdir()):
            if (folder / MANIFEST_FILE).is_file():
                return False
            raise UserError(
                f'cache {folder}: holds files but no {MANIFEST_FILE}; give '
                'an empty or a new folder.'
            )
        if os.path.ismount(folder):
            # Beside it is another disk.
            raise OSError(errno.EBUSY, 'it is a mount point')
        _check_space(folder, entries * entry_bytes(shapes, dtype))
        making = Path(tempfile.mkdtemp(dir=parent, prefix=_beside(folder)))
        try:
            os.chmod(making, 0o777 & ~umask())
            for name, shape in shapes.items():
                entry = entry_bytes({name: shape}, dtype) - 4
                _reserve(making / file_name(name, dtype), entries * entry)
            _reserve(making / CHECKSUMS_FILE, entries * 4)
            write_atomic(
                making / MANIFEST_FILE,
                (json.dumps(manifest, indent=2) + '\n').encode(),
            )
            os.rename(making, folder)
            return True
        except OSError:
            # Another process was quicker, and its store is as good.
            if (folder / MANIFEST_FILE).is_file():
                return False
            raise
        finally:
            shutil.rmtree(making, ignore_errors=True)
    except OSError as error:
        inside = (
            error.errno in _NOT_BESIDE
            and folder.is_dir()
            and os.access(folder, os.W_OK)
        )
        raise UserError(
            f'cache {folder}: cannot be made ({type(error).__name__}: {error})'
            + (f'; try {folder / CACHE_FOLDER} inside it.' if inside else '.')
        ) from error


def open_array(
    path: Path, kind: type, shape: Tuple[int, ...]
) -> Tuple[np.memmap, bool]:
    """Maps a file into memory.

    Args:
        path (Path): The file.
        kind (type): NumPy's dtype.
        shape (tuple[int]): Shape of the whole array.

    Returns:
        tuple[np.memmap, bool]: The array, and whether it may be written to.

    Raises:
        UserError: If the file is missing or has another size, is a link, or
            cannot be read.
    """
    if path.is_symlink():
        # What it leads to would be written over.
        raise UserError(
            f'cache {path}: is a link, but a file is wanted; delete the '
            'folder, or make that a link as a whole.'
        )
    wanted = math.prod(shape) * np.dtype(kind).itemsize
    size = path.stat().st_size if path.is_file() else None
    if size != wanted:
        raise UserError(
            f'cache {path}: '
            + ('is missing' if size is None else f'has {size} bytes')
            + f', but {wanted} are wanted; it was truncated or is no part of '
            'this cache: delete the folder.'
        )
    try:
        return np.memmap(path, kind, 'r+', shape=shape), True
    except OSError:
        # A finished cache may lie where nothing can be written.
        pass
    try:
        return np.memmap(path, kind, 'r', shape=shape), False
    except OSError as error:
        raise UserError(f'cache {path}: cannot be read ({error}).') from error


def holds_entries(folder: Path) -> bool:
    """Says whether a folder is a cache that has something in it."""
    path = folder / CHECKSUMS_FILE
    if not path.is_file() or path.stat().st_size == 0:
        return False
    # Bytes: a file that was truncated is of any length.
    return bool(np.memmap(path, np.uint8, 'r').any())


def free_bytes(folder: Path) -> int:
    """Gives the free bytes of the disk that a folder is on, or would be."""
    while not folder.exists():
        folder = folder.parent
    return shutil.disk_usage(folder).free


def _check_space(folder: Path, wanted: int) -> None:
    free = free_bytes(folder.parent)
    if wanted > free:
        left = sorted(
            path.name
            for path in folder.parent.iterdir()
            if path.name.startswith(_beside(folder))
        )
        raise UserError(
            f'cache {folder}: takes {wanted / 1e9:.2f} GB, but '
            f'{free / 1e9:.2f} GB of the disk are free; lower num_views, '
            'take fewer outputs or another cache_dir'
            + (
                f', or delete what a killed run left: {", ".join(left)}.'
                if left
                else '.'
            )
        )


def _beside(folder: Path) -> str:
    """Gives how the name of a cache in the making begins."""
    return f'.{folder.name}.making.'


def _reserve(path: Path, size: int) -> None:
    with open(path, 'wb') as file:
        if hasattr(os, 'posix_fallocate'):
            os.posix_fallocate(file.fileno(), 0, size)
        else:
            file.truncate(size)
