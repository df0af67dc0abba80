"""Which few samples keep their labels, and a digest that proves it."""

from __future__ import annotations

import hashlib
import os
from typing import Any, List, Optional, Sequence, Tuple

import numpy as np
from mmengine.logging import print_log

from ..errors import UserError
from .wrappers import innermost


def stratified_subset(
    labels: Sequence[int],
    *,
    fraction: Optional[float] = None,
    labels_per_class: Optional[int] = None,
    seed: int,
    classes: Optional[Sequence[str]] = None,
) -> np.ndarray:
    """Draws the same number, or the same share, of samples in every class.

    The draw is made with a local ``RandomState(seed)``, whose stream NumPy
    has frozen, class after class in ascending order. This is the protocol of
    CIFAR-100 with 4 labels a class.

    Args:
        labels (Sequence[int]): The class (or stratum) of every sample, (N, ).
        fraction (float, optional): The share to keep of every class, in
            (0, 1], rounded half up and at least one sample. Defaults to None.
        labels_per_class (int, optional): The number to keep of every class.
            Defaults to None. Exactly one of the two is to be given.
        seed (int): Seed of the draw.
        classes (Sequence[str], optional): Class names for the error message.
            Defaults to None.

    Returns:
        np.ndarray: Sorted int64 indices into ``labels``.

    Raises:
        UserError: If not exactly one amount is given, if it or the seed is
            out of range, or if a class holds fewer samples than asked for.
    """
    _check_amount(fraction, labels_per_class)
    _check_seed(seed)
    labels = np.asarray(labels, dtype=np.int64)
    rng = np.random.RandomState(seed)
    chosen = []
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label).astype(np.int64)
        if labels_per_class is not None:
            wanted = labels_per_class
        else:
            wanted = max(1, int(np.floor(len(members) * fraction + 0.5)))
        if wanted > len(members):
            name = classes[label] if classes is not None else int(label)
            raise UserError(
                f'labels_per_class: class {name!r} holds {len(members)} '
                f'images, but {wanted} labels a class were asked for.'
            )
        chosen.append(rng.permutation(members)[:wanted])
    return np.sort(np.concatenate(chosen))


def label_subset(
    labels: Sequence[int],
    *,
    fraction: Optional[float] = None,
    labels_per_class: Optional[int] = None,
    complement: bool = False,
    seed: int = 0,
    classes: Optional[Sequence[str]] = None,
) -> Optional[np.ndarray]:
    """Resolves a dataset's subset options.

    Args:
        labels (Sequence[int]): The class of every sample, (N, ).
        fraction (float, optional): See :func:`stratified_subset`.
        labels_per_class (int, optional): See :func:`stratified_subset`.
        complement (bool): Whether to keep the samples that the draw leaves.
            Defaults to False.
        seed (int): Seed of the draw. Defaults to 0.
        classes (Sequence[str], optional): Class names for error messages.
            Defaults to None.

    Returns:
        np.ndarray | None: Sorted indices; None when no subset is asked for.

    Raises:
        UserError: If the options contradict each other or the data.
    """
    if fraction is None and labels_per_class is None:
        if complement:
            raise UserError(
                'complement=True keeps what a label subset leaves, but '
                'neither fraction nor labels_per_class is set.'
            )
        return None
    chosen = stratified_subset(
        labels,
        fraction=fraction,
        labels_per_class=labels_per_class,
        seed=seed,
        classes=classes,
    )
    if not complement:
        return chosen
    rest = np.setdiff1d(np.arange(len(labels), dtype=np.int64), chosen)
    if not len(rest):
        raise UserError(
            'complement=True: the label subset takes all '
            f'{len(chosen)} images and leaves none.'
        )
    return rest


def keep_subset(
    name: str, samples: List[dict], classes: Sequence[str], **options: Any
) -> Tuple[List[dict], Optional[np.ndarray]]:
    """Applies a dataset's subset options to its samples and logs the draw.

    Args:
        name (str): What the log calls the dataset.
        samples (list[dict]): Samples with a ``gt_label``.
        classes (Sequence[str]): Class names.
        **options: Of :func:`label_subset`.

    Returns:
        tuple: The samples kept and their indices (None for all).

    Raises:
        UserError: If the options contradict each other or the data.
    """
    labels = [sample['gt_label'] for sample in samples]
    indices = label_subset(labels, classes=classes, **options)
    if indices is None:
        return samples, None
    print_log(
        f'{name}: {len(indices)} of {len(samples)} images kept, SHA-256 of '
        f'their indices {digest(indices)}',
        logger='current',
    )
    return [samples[index] for index in indices], indices


def digest(indices: Sequence[int]) -> str:
    """Computes the SHA-256 of indices as little-endian 64-bit integers.

    Args:
        indices (Sequence[int]): The indices, (N, ).

    Returns:
        str: 64 hexadecimal digits.
    """
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
        hashed.update(identity(info, root))
        label = info.get('gt_label', info.get('gt_score'))
        hashed.update(f'\t{np.asarray(label).tolist()}\n'.encode())
    return hashed.hexdigest()


def identity(info: dict, root: Optional[str]) -> bytes:
    """Gives what tells a sample from others, on any machine.

    Args:
        info (dict): What its dataset says of it.
        root (str, optional): ``data_root`` of the dataset.

    Returns:
        bytes: The path of its image below ``root`` (the file's name if there
        is none), or its pixels.
    """
    path = info.get('img_path')
    if path is None:
        return np.ascontiguousarray(info['img']).tobytes()
    path = os.path.relpath(path, root) if root else os.path.basename(path)
    return path.replace(os.sep, '/').encode()


def _check_amount(
    fraction: Optional[float], labels_per_class: Optional[int]
) -> None:
    if (fraction is None) == (labels_per_class is None):
        raise UserError(
            'fraction and labels_per_class: exactly one is wanted, but got '
            f'fraction={fraction!r} and labels_per_class='
            f'{labels_per_class!r}.'
        )
    if fraction is not None and (
        isinstance(fraction, bool)
        or not isinstance(fraction, (int, float))
        or not 0 < fraction <= 1
    ):
        raise UserError(
            f'fraction: a number in (0, 1] is wanted, but got {fraction!r}.'
        )
    if labels_per_class is not None and (
        isinstance(labels_per_class, bool)
        or not isinstance(labels_per_class, (int, np.integer))
        or labels_per_class < 1
    ):
        raise UserError(
            'labels_per_class: a whole number >= 1 is wanted, but got '
            f'{labels_per_class!r}.'
        )


def _check_seed(seed: int) -> None:
    # None would draw a split that nobody can draw again.
    if (
        isinstance(seed, bool)
        or not isinstance(seed, (int, np.integer))
        or not 0 <= seed < 2**32
    ):
        raise UserError(
            f'seed: a whole number from 0 to {2**32 - 1} is wanted, but got '
            f'{seed!r}.'
        )
