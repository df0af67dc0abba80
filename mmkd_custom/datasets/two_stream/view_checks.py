"""Whether pipelines make the views they are to make, from a few samples."""

from __future__ import annotations

import contextlib
import copy
import logging
import random
from typing import (
    Any,
    Callable,
    Iterable,
    List,
    Mapping,
    Optional,
    Sequence,
    Tuple,
)

import cv2
import numpy as np
import torch
from mmengine.logging import print_log

from ...errors import UserError
from ..wrappers import leaves
from .streams import stream_info
from .views import seed_rng

#: How often a view is drawn again.
REPEATS = 8
#: Views whose geometry is compared. Of these, pipelines that crop alike agree
#: in more than a half, with RandAugment or RandomErasing in one of them too;
#: those that crop on their own, in less than a sixth.
DRAWS = 32
REFUSED, DOUBTED = 0.2, 0.5

#: Views are compared at this size, block by block.
_SIZE, _BLOCK = 32, 8
#: Blocks that correlate like this show the same, whatever their colours.
_ALIKE = 0.8
#: Share of such blocks in views of one crop: what is erased or turned around
#: in its colours takes some away.
_SAME_CROP, _MIRRORED = 0.35, 0.5

#: Samples that are looked at.
_SAMPLES = 3

Loaded = Tuple[dict, List[Callable]]


def check_views(
    streams: Iterable[Tuple[str, Any, Any]],
    pipelines: Mapping[str, Any],
    independent: Sequence[str],
    clean: Sequence[str],
    seed: int,
) -> None:
    """Checks how the views of a dataset are made, on a few of its samples.

    The global random generators stay seeded: see
    :func:`~mmkd_custom.datasets.two_stream.views.kept_rng`.

    Args:
        streams (Iterable[tuple]): Name and dataset of each, and anything.
        pipelines (Mapping[str, Callable]): Those of further views, by name.
            All end in ``PackInputs``.
        independent (Sequence[str]): Those that draw a crop of their own.
        clean (Sequence[str]): Those that draw nothing.
        seed (int): Of the views.

    Raises:
        UserError: If one of the checks below says that they are not.
    """
    others = {f'pipelines.{name}': one for name, one in pipelines.items()}
    still = [f'pipelines.{name}' for name in clean]
    free = {*still, *(f'pipelines.{name}' for name in independent)}
    for stream, dataset, _ in streams:
        for leaf in filter(len, leaves(dataset)):

            def info(position: int) -> dict:
                told = stream_info(stream, leaf, position)  # noqa: B023
                return dict(told, sample_idx=position, view=0)

            places = np.linspace(0, len(leaf) - 1, _SAMPLES).astype(int)
            for position in dict.fromkeys(places.tolist()):
                for option, one in {stream: leaf.pipeline, **others}.items():
                    check_repeatable(
                        option, one, info(position), (seed, position)
                    )
                for option in still:
                    check_clean(option, others[option], info(position))
            for option, one in others.items():
                if option not in free:
                    infos = info(0), info(0)
                    check_geometry(option, leaf.pipeline, one, infos, seed)


def check_repeatable(
    option: str, pipeline: Any, info: dict, key: Sequence
) -> None:
    """Checks that one view drawn again is the same, byte by byte.

    Args:
        option (str): Whose pipeline this is.
        pipeline (Callable): Transforms that end in ``PackInputs``.
        info (dict): What the dataset knows of the sample.
        key (Sequence[int | str]): What the draws depend on.

    Raises:
        UserError: If it differs; names the transform.
    """
    # Who asks for a sample that cannot be made says why.
    try:
        results, steps = _loaded(pipeline, info)
        repeated = _repeats(results, steps, key)
    except Exception:
        return
    if repeated:
        return
    try:
        culprit = next(
            type(step).__name__
            for number, step in enumerate(steps, start=1)
            if number == len(steps)
            or not _repeats(results, steps[:number], key)
        )
    # Half a pipeline need not be one.
    except Exception:
        culprit = f'one of {", ".join(type(step).__name__ for step in steps)}'
    raise UserError(
        f'{option}: expected draws from the global generators of random, '
        'NumPy or torch, which are seeded for each view, but the transform '
        f'{culprit} gives one view in several ways.'
    )


def check_clean(option: str, pipeline: Any, info: dict) -> None:
    """Checks that a pipeline draws nothing from the global generators.

    Args:
        option (str): Whose pipeline this is.
        pipeline (Callable): Transforms that end in ``PackInputs``.
        info (dict): What the dataset knows of the sample.

    Raises:
        UserError: If it does; names the transform.
    """
    drawn, culprit = [], None
    # Who asks for a sample that cannot be made says why.
    with contextlib.suppress(Exception):
        results, steps = _loaded(pipeline, info)
        for step in (lambda same: same, *steps):
            seed_rng(0)
            results = step(results)
            # What the generators give next, after nothing was drawn at first.
            drawn.append((random.random(), np.random.rand(), torch.rand(1)))
            if drawn[-1] != drawn[0]:
                culprit = type(step).__name__
                break
    if culprit is not None:
        raise UserError(
            f'{option}: expected transforms that draw nothing, because clean '
            f'names this view, got {culprit}; name it in independent instead.'
        )


def check_geometry(
    option: str, own: Any, other: Any, infos: Tuple[dict, dict], seed: int
) -> None:
    """Checks that two pipelines crop and flip alike under one seed.

    Both are given a pattern of shades of grey in place of the image, which
    shows a crop and its flips whatever is done to the colours.

    Args:
        option (str): What names the other pipeline.
        own (Callable): The stream's own pipeline.
        other (Callable): The other one.
        infos (tuple[dict, dict]): What the dataset knows of a sample, twice.
        seed (int): Of the draws.

    Raises:
        UserError: If they clearly do not. A doubt is logged as a warning.
    """
    try:
        loaded = [
            _with_pattern(*_loaded(pipeline, info))
            for pipeline, info in zip((own, other), infos)
        ]
        views = [
            tuple(_grid(_run(*one, (seed, view))) for one in loaded)
            for view in range(DRAWS)
        ]
    except Exception:
        return
    found = [
        (direct, max(_agreement(a, mirror) or 0 for mirror in _mirrors(b)))
        for a, b in views
        for direct in [_agreement(a, b)]
        if direct is not None
    ]
    if not found:
        return
    flipped = any(d < _SAME_CROP and m >= _MIRRORED for d, m in found)
    share = np.mean([direct >= _SAME_CROP for direct, _ in found])
    sentence = (
        f"{option}: expected the crop of the stream's own pipeline, but shows "
        f'it in {share:.0%} of {len(found)} views drawn'
        + (', flipped in others' if flipped else '')
        + '; put the transforms that draw crop and flip first in both, alike '
        'and in the same order, or name the view in independent'
    )
    # One that draws nothing shows what its user chose.
    drawn = [
        len({view.tobytes() for view in side}) > 1 for side in zip(*views)
    ]
    if any(drawn) and (flipped or share < REFUSED):
        raise UserError(f'{sentence}.')
    if share < DOUBTED:
        print_log(f'{sentence}.', logger='current', level=logging.WARNING)


def _loaded(pipeline: Any, info: dict) -> Loaded:
    """Returns the sample with its image, and the transforms that follow."""
    steps = list(pipeline.transforms)
    while 'img' not in info:
        info = steps.pop(0)(info)
    return info, steps


def _run(results: dict, steps: Sequence[Callable], key: Sequence) -> Any:
    """Returns the image, packed or not, after some transforms."""
    seed_rng(*key)
    results = copy.deepcopy(results)
    for step in steps:
        results = step(results)
    return results['inputs'] if 'inputs' in results else results['img']


def _repeats(results: dict, steps: Sequence[Callable], key: Sequence) -> bool:
    first = np.asarray(_run(results, steps, key))
    return all(
        np.array_equal(first, np.asarray(_run(results, steps, key)))
        for _ in range(REPEATS - 1)
    )


def _with_pattern(results: dict, steps: List[Callable]) -> Loaded:
    image = results['img']
    if not isinstance(image, np.ndarray):
        raise TypeError('only arrays are replaced')
    grey = _pattern(*image.shape[:2]).astype(image.dtype)
    if image.ndim == 3:
        grey = np.repeat(grey[..., None], image.shape[2], axis=2)
    return dict(results, img=grey), steps


def _pattern(height: int, width: int) -> np.ndarray:
    """Makes structure of all sizes, float32 (H, W) in [0, 255]."""
    rng = np.random.RandomState(0)
    pattern = np.zeros((height, width), np.float32)
    for cells in (6, 12, 24, 48):
        noise = rng.rand(cells, cells).astype(np.float32) / cells**0.5
        pattern += cv2.resize(
            noise, (width, height), interpolation=cv2.INTER_CUBIC
        )
    low, high = np.percentile(pattern, [1, 99])
    return np.clip((pattern - low) / (high - low) * 200 + 28, 0, 255)


def _grid(inputs: torch.Tensor) -> np.ndarray:
    """Shrinks an image (C, H, W) to what is compared."""
    if min(inputs.shape[-2:]) < _SIZE:
        raise ValueError('too small to tell')
    grey = inputs.float().mean(0).numpy()
    return cv2.resize(grey, (_SIZE, _SIZE), interpolation=cv2.INTER_AREA)


def _mirrors(grid: np.ndarray) -> Tuple[np.ndarray, ...]:
    return grid[:, ::-1], grid[::-1], grid[::-1, ::-1]


def _agreement(left: np.ndarray, right: np.ndarray) -> Optional[float]:
    """Returns the share of blocks that show the same; None without any."""
    left, right = _blocks(left), _blocks(right)
    norms = np.linalg.norm(left, axis=1) * np.linalg.norm(right, axis=1)
    shown = norms > 1e-3
    if not shown.any():
        return None
    products = np.abs((left * right).sum(1))[shown] / norms[shown]
    return float(np.mean(products > _ALIKE))


def _blocks(grid: np.ndarray) -> np.ndarray:
    """Cuts (S, S) into blocks (N, B * B) of mean 0."""
    count = _SIZE // _BLOCK
    blocks = grid.reshape(count, _BLOCK, count, _BLOCK).swapaxes(1, 2)
    blocks = blocks.reshape(-1, _BLOCK * _BLOCK)
    return blocks - blocks.mean(1, keepdims=True)
