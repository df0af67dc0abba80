"""One number that tells the images of a dataset from those of another."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any, Iterable, Tuple

import numpy as np

from .subset import identity
from .wrappers import innermost

#: Files a stream whose content is looked at.
SPOT_CHECKS = 32


def samples_digest(streams: Iterable[Tuple[str, Any, np.ndarray]]) -> str:
    """Computes the SHA-256 of which images there are, in order.

    An image counts with its path below its dataset's ``data_root`` (its whole
    path if there is none, its pixels if it has no path), so the digest is the
    same on another machine; labels do not count. Of a few files, evenly
    spread, the bytes count as well: images that were made anew under their
    old names (resized, say) are noticed without reading all.

    Args:
        streams (Iterable[tuple]): Name, dataset and positions in it (N,).

    Returns:
        str: 64 hexadecimal digits.
    """
    hashed = hashlib.sha256()
    for name, dataset, positions in streams:
        hashed.update(f'{name} {len(positions)}\n'.encode())
        looked_at = set(
            np.linspace(0, len(positions) - 1, SPOT_CHECKS).astype(int)
            if len(positions)
            else ()
        )
        for number, position in enumerate(positions.tolist()):
            info = dataset.get_data_info(position)
            # Without a root the whole path counts: names alone may be alike.
            owner, _ = innermost(dataset, position)
            root = getattr(owner, 'data_root', None) or os.sep
            hashed.update(identity(info, root) + b'\n')
            path = info.get('img_path')
            if number in looked_at and path and Path(path).is_file():
                hashed.update(Path(path).read_bytes())
    return hashed.hexdigest()
