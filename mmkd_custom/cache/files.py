"""The files of a feature store: what they take, making and opening them."""

from __future__ import annotations

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

Shapes = Mapping[str, Sequence[int]]


def check_dtype(dtype: str) -> None:
    """Refuses a dtype that a store cannot have."""
    if dtype not in DTYPES:
        raise UserError(
            f'teacher: expected cache_dtype to be one of {", ".join(DTYPES)}, '
            f'got {dtype!r}.'
        )


def file_name(output: str, dtype: str) -> str:
    """Returns the name of the file of one output, such as ``feature.f16``."""
    return f'{output}.{_SUFFIXES[dtype]}'


def entry_bytes(shapes: Shapes, dtype: str) -> int:
    """Returns the bytes of one entry on disk, its checksum included."""
    numbers = sum(math.prod(shape) for shape in shapes.values())
    return numbers * np.dtype(DTYPES[dtype]).itemsize + 4


def create(
    folder: Path,
    manifest: Mapping[str, Any],
    entries: int,
    shapes: Shapes,
    dtype: str,
) -> bool:
    """Makes the files beside their place, then moves them there.

    All blocks are reserved at once: a disk that fills up later must not
    meet a write to memory, which would kill the process.

    Args:
        folder (Path): Their place.
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
    there = folder / MANIFEST_FILE
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        if folder.exists() and any(folder.iterdir()):
            if there.is_file():
                return False
            raise UserError(
                f'cache {folder}: expected an empty folder or one with a '
                f'{MANIFEST_FILE}, got other files; give a new folder.'
            )
        # How the names of caches in the making begin.
        beside = f'.{folder.name}.making.'
        _check_space(folder, entries * entry_bytes(shapes, dtype), beside)
        making = Path(tempfile.mkdtemp(dir=folder.parent, prefix=beside))
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
            if there.is_file():
                return False
            raise
        finally:
            shutil.rmtree(making, ignore_errors=True)
    except OSError as error:
        raise UserError(
            f'cache {folder}: cannot be made ({type(error).__name__}: '
            f'{error}); give another cache_dir, such as a new folder inside.'
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
            f'cache {path}: expected a file, got a link; delete the folder, '
            'or make that a link as a whole.'
        )
    wanted = math.prod(shape) * np.dtype(kind).itemsize
    size = path.stat().st_size if path.is_file() else None
    if size != wanted:
        raise UserError(
            f'cache {path}: expected {wanted} bytes, got '
            f'{"no file" if size is None else size}; it was truncated or is '
            'not part of this cache: delete the folder.'
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


def _check_space(folder: Path, wanted: int, beside: str) -> None:
    free = shutil.disk_usage(folder.parent).free
    if wanted > free:
        made = sorted(path.name for path in folder.parent.glob(f'{beside}*'))
        raise UserError(
            f'cache {folder}: expected {wanted / 1e9:.2f} GB of free disk, '
            f'got {free / 1e9:.2f}; lower num_views, take fewer outputs or '
            'another cache_dir, or delete what killed runs left '
            f'({", ".join(made) or "nothing here"}).'
        )


def _reserve(path: Path, size: int) -> None:
    with open(path, 'wb') as file:
        if hasattr(os, 'posix_fallocate'):
            os.posix_fallocate(file.fileno(), 0, size)
        else:
            file.truncate(size)
