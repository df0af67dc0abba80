"""Which few samples keep their labels, and digests that prove it."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any, Iterable, Optional, Sequence, Tuple

import numpy as np

from ..errors import UserError
from .wrappers import innermost

#: Files of each stream whose content :func:`samples_digest` reads.
SPOT_CHECKS = 32


def stratified_subset(
    labels: Sequence[int],
    *,
    fraction: Optional[float] = None,
    labels_per_class: Optional[int] = None,
    seed: int = 0,
    classes: Optional[Sequence[str]] = None,
) -> np.ndarray:
    """Draws the same number, or the same share, of samples in every class.

    The draw is made with a local ``RandomState(seed)``, whose stream NumPy
    has frozen, class after class in ascending order (docs/protocols.md, What
    each prescribes).

    Args:
        labels (Sequence[int]): The class (or stratum) of every sample, (N,).
        fraction (float, optional): The share to keep of every class, in
            (0, 1], rounded half up and at least one sample. Defaults to None.
        labels_per_class (int, optional): The number to keep of every class.
            Defaults to None. Exactly one of the two is to be given.
        seed (int): Seed of the draw. Defaults to 0.
        classes (Sequence[str], optional): Class names for the error message.
            Defaults to None.

    Returns:
        np.ndarray: Sorted int64 indices into ``labels``.

    Raises:
        UserError: If not exactly one amount is given, if it or the seed is
            out of range, or if a class holds fewer samples than asked for.
    """
    _check_amount(fraction, labels_per_class)
    # None would draw a split that nobody can draw again.
    if not _is_whole(seed) or not 0 <= seed < 2**32:
        raise UserError(
            f'seed: expected a whole number from 0 to {2**32 - 1}, got '
            f'{seed!r}.'
        )
    labels = np.asarray(labels, dtype=np.int64)
    rng = np.random.RandomState(seed)
    chosen = []
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label).astype(np.int64)
        count = labels_per_class
        if count is None:
            count = max(1, int(np.floor(len(members) * fraction + 0.5)))
        if count > len(members):
            name = classes[label] if classes is not None else int(label)
            raise UserError(
                f'labels_per_class: class {name!r} holds {len(members)} '
                f'images, expected at least {count}.'
            )
        chosen.append(rng.permutation(members)[:count])
    return np.sort(np.concatenate(chosen))


def label_subset(
    labels: Sequence[int], *, complement: bool = False, **draw: Any
) -> Optional[np.ndarray]:
    """Resolves a dataset's subset options.

    Args:
        labels (Sequence[int]): The class of every sample, (N,).
        complement (bool): Whether to keep the samples that the draw leaves.
            Defaults to False.
        **draw: Of :func:`stratified_subset`.

    Returns:
        np.ndarray | None: Sorted indices; None when no subset is asked for.

    Raises:
        UserError: If the options contradict each other or the data.
    """
    if draw.get('fraction') is None and draw.get('labels_per_class') is None:
        if complement:
            raise UserError(
                'complement=True keeps what a label subset leaves: expected '
                'fraction or labels_per_class, got neither.'
            )
        return None
    chosen = stratified_subset(labels, **draw)
    return rest_of(chosen, len(labels)) if complement else chosen


def rest_of(chosen: np.ndarray, count: int) -> np.ndarray:
    """Returns the sorted indices below ``count`` that are not chosen.

    Raises:
        UserError: If there are none.
    """
    rest = np.setdiff1d(np.arange(count, dtype=np.int64), chosen)
    if not len(rest):
        raise UserError(
            f'complement=True: the label subset takes all {count} images and '
            'leaves none.'
        )
    return rest


def digest(indices: Sequence[int]) -> str:
    """Returns the SHA-256 of indices (N,) as little-endian 64-bit integers."""
    return hashlib.sha256(
        np.asarray(indices, dtype='<i8').tobytes()
    ).hexdigest()


def split_digest(dataset: Any) -> str:
    """Computes the SHA-256 of a dataset's samples and labels, in order.

    A sample counts with its path below ``data_root`` (else with its pixels),
    so the digest is the same on another machine.

    Args:
        dataset (BaseDataset): A dataset with ``get_data_info``.

    Returns:
        str: 64 hexadecimal digits.
    """
    hashed = hashlib.sha256()
    for index in range(len(dataset)):
        info = dataset.get_data_info(index)
        root = getattr(innermost(dataset, index)[0], 'data_root', None)
        hashed.update(_identity(info, root))
        label = info.get('gt_label', info.get('gt_score'))
        hashed.update(f'\t{np.asarray(label).tolist()}\n'.encode())
    return hashed.hexdigest()


def samples_digest(streams: Iterable[Tuple[str, Any, np.ndarray]]) -> str:
    """Computes the SHA-256 of which images there are, in order.

    An image counts as in :func:`split_digest`, but with its whole path where
    there is no ``data_root``; labels do not count. Of a few files, evenly
    spread, the bytes count as well: images that were made anew under their
    old names (resized, say) are noticed without reading all.

    Args:
        streams (Iterable[tuple]): Name, dataset and positions in it (N,).

    Returns:
        str: 64 hexadecimal digits.
    """
    hashed = hashlib.sha256()
    for name, dataset, positions in streams:
        count = len(positions)
        hashed.update(f'{name} {count}\n'.encode())
        spots = np.linspace(0, count - 1, SPOT_CHECKS) if count else ()
        spots = set(np.asarray(spots).astype(int).tolist())
        for number, position in enumerate(positions.tolist()):
            info = dataset.get_data_info(position)
            owner, _ = innermost(dataset, position)
            root = getattr(owner, 'data_root', None) or os.sep
            hashed.update(_identity(info, root) + b'\n')
            path = info.get('img_path')
            if number in spots and path and Path(path).is_file():
                hashed.update(Path(path).read_bytes())
    return hashed.hexdigest()


def _identity(info: dict, root: Optional[str]) -> bytes:
    """Returns what tells a sample from others, on any machine."""
    path = info.get('img_path')
    if path is None:
        return np.ascontiguousarray(info['img']).tobytes()
    path = os.path.relpath(path, root) if root else os.path.basename(path)
    return path.replace(os.sep, '/').encode()


def _is_whole(value: Any) -> bool:
    return isinstance(value, (int, np.integer)) and not isinstance(value, bool)


def _check_amount(
    fraction: Optional[float], labels_per_class: Optional[int]
) -> None:
    if (fraction is None) == (labels_per_class is None):
        raise UserError(
            'fraction and labels_per_class: expected exactly one of them, '
            f'got {fraction!r} and {labels_per_class!r}.'
        )
    if fraction is not None and (
        isinstance(fraction, bool)
        or not isinstance(fraction, (int, float))
        or not 0 < fraction <= 1
    ):
        raise UserError(
            f'fraction: expected a number in (0, 1], got {fraction!r}.'
        )
    if labels_per_class is not None and (
        not _is_whole(labels_per_class) or labels_per_class < 1
    ):
        raise UserError(
            'labels_per_class: expected a whole number >= 1, got '
            f'{labels_per_class!r}.'
        )
