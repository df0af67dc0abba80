"""What an image file holds, found by reading it once."""

from __future__ import annotations

import hashlib
import os
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Dict, Hashable, List, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from ...errors import UserError
from ...utils.progress import progress
from ..images import decode

#: Files that are handed to a process at once.
CHUNK = 32


class Fingerprint(NamedTuple):
    """What an image holds.

    Args:
        sha256 (str): Of the file's bytes, 64 hexadecimal digits; of an image
            that lies in memory, of its pixels.
        size (tuple[int, int], optional): Width and height in pixels; None if
            it cannot be decoded.
        error (str, optional): Why it cannot be decoded to its end. Defaults to
            None, for one that can.
    """

    sha256: str
    size: Optional[Tuple[int, int]]
    error: Optional[str] = None


def fingerprint(path: str) -> Fingerprint:
    """Reads an image file once, decodes all of it and hashes its bytes."""
    try:
        content = Path(path).read_bytes()
    except OSError as error:
        return Fingerprint('', None, f'{type(error).__name__}: {error}')
    return Fingerprint(hashlib.sha256(content).hexdigest(), *decode(content))


def fingerprint_pixels(image: np.ndarray) -> Fingerprint:
    """Hashes shape, dtype and pixels of an image (H, W, ...) in memory."""
    hashed = hashlib.sha256(f'{image.dtype} {image.shape}\n'.encode())
    hashed.update(np.ascontiguousarray(image).tobytes())
    return Fingerprint(hashed.hexdigest(), (image.shape[1], image.shape[0]))


def fingerprint_all(
    paths: Sequence[str], workers: Optional[int] = None
) -> Dict[str, Fingerprint]:
    """Takes the fingerprints of many files, with a progress bar.

    Args:
        paths (Sequence[str]): The files; one named twice is read once.
        workers (int, optional): Processes; 1 works in this one. Defaults to
            None, which is the number of cores.

    Returns:
        dict[str, Fingerprint]: Path to what it holds, in the order given.

    Raises:
        UserError: If ``workers`` is less than 1.
    """
    if workers is None:
        workers = os.cpu_count() or 1
    if workers < 1:
        raise UserError(f'--workers: expected a number >= 1, got {workers}.')
    paths = list(dict.fromkeys(paths))
    shown = progress('reading', len(paths), 'images')
    with shown as bar, ExitStack() as stack:
        if workers == 1:
            found = map(fingerprint, paths)
        else:
            pool = stack.enter_context(ProcessPoolExecutor(workers))
            found = pool.map(fingerprint, paths, chunksize=CHUNK)
        return dict(zip(paths, list(bar.track(found))))


def same_images(
    fingerprints: Dict[Hashable, Fingerprint],
) -> List[Tuple[Fingerprint, List[Hashable]]]:
    """Finds images that are there more than once.

    An image that was stored anew, at another quality or size, is another
    one. What cannot be decoded is left out.

    Args:
        fingerprints (dict): What names an image to what it holds.

    Returns:
        list[tuple[Fingerprint, list]]: Each image that several names hold,
        with these, in the order given.
    """
    groups: Dict[Fingerprint, List[Hashable]] = {}
    for key, found in fingerprints.items():
        if found.error is None:
            groups.setdefault(found, []).append(key)
    return [(found, keys) for found, keys in groups.items() if len(keys) > 1]
