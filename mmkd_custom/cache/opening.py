"""Opening the cache of a run's teacher, all ranks together."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Callable, Dict, List, Optional, Tuple

import torch
from mmengine.dist import (
    all_gather_object,
    broadcast_object_list,
    is_main_process,
)
from mmengine.runner import Runner

from ..datasets import SampleKey, TwoStreamDataset
from ..engine.teacher_pass import distiller_of
from ..engine.unwrap import unwrapped
from ..errors import UserError
from ..models.distillers import BaseDistiller
from ..models.outputs import FEATURE, LOGITS
from .manifest import cache_manifest
from .store import FeatureStore
from .store_files import CACHE_FOLDER
from .teacher import CachedTeacher


def open_cache(runner: Runner) -> Optional[FeatureStore]:
    """Opens, or makes, the cache of a run's teacher and takes it into use.

    To be called by all ranks: rank 0 describes what the entries depend on
    and makes the files, and a mistake is every rank's.

    Args:
        runner (Runner): With its model and training loader built.

    Returns:
        FeatureStore: None if the model has no :class:`CachedTeacher`.

    Raises:
        UserError: If views are not fixed, the cache is one of something
            else, damaged or cannot be made, or it lacks entries where none
            can be written.
    """
    if not isinstance(
        getattr(unwrapped(runner), 'teacher', None), CachedTeacher
    ):
        return None
    model = distiller_of(runner, 'CachedTeacher')
    dataset = runner.train_dataloader.dataset
    views = _views(runner)
    kept = model.teacher.kept(model.asked('teacher'))
    folder = model.teacher.cache_dir or Path(runner.work_dir, CACHE_FOLDER)
    # Before an image is made: transforms may note what they did.
    manifest = by_rank_0(lambda: cache_manifest(model, dataset))
    shapes, grid = together(lambda: _shapes(runner, model, kept))
    if grid is not None:
        manifest['grid'] = list(grid)

    def opened() -> Tuple[FeatureStore, int]:
        store = FeatureStore(
            folder,
            manifest,
            len(dataset),
            views,
            shapes,
            model.teacher.cache_dtype,
        )
        missing = int(store.count_missing())
        if missing and not store.writable:
            raise UserError(
                f'cache {store.folder}: {missing} of {len(dataset) * views} '
                'entries are missing, but it cannot be written to; let this '
                'user write there, or give another cache_dir.'
            )
        return store, missing

    # First rank 0 alone: a hundred ranks need not make a hundred stores.
    by_rank_0(lambda: opened()[1])
    store, missing = together(opened)
    fetch = _fetcher(runner, model)
    model.teacher.bind(store, fetch, grid)
    runner.logger.info(
        f'Teacher: cache {store.folder} ('
        f'{", ".join(kept)}; {store.dtype}; {len(dataset)} samples in '
        f'{views} views; {store.nbytes / 1e6:.1f} MB), '
        + (f'{missing} entries missing.' if missing else 'complete.')
    )
    return store


def together(action: Callable[[], Any]) -> Any:
    """Does something on every rank; what goes wrong on one, goes on all.

    Args:
        action (Callable): Without collective calls.

    Returns:
        Any: What it returned on this rank.

    Raises:
        UserError: If it raised one on any rank: that of the first.
        RuntimeError: If it raised anything else on another rank.
    """
    result = failure = None
    try:
        result = action()
    # Whatever it is: the other ranks must not wait for this one.
    except Exception as error:
        failure = error
    mistake = isinstance(failure, UserError)
    text = str(failure) if mistake else repr(failure)
    found = all_gather_object(None if failure is None else (mistake, text))
    for other in filter(None, found):
        if other[0]:
            raise UserError(other[1])
    if failure is not None:
        raise failure
    for rank, other in enumerate(found):
        if other is not None:
            raise RuntimeError(f'rank {rank} failed: {other[1]}')
    return result


def by_rank_0(action: Callable[[], Any]) -> Any:
    """Does something on rank 0 alone; what goes wrong there, goes on all.

    Args:
        action (Callable): Without collective calls.

    Returns:
        Any: What it returned there, on every rank.

    Raises:
        UserError: As :func:`together`.
        RuntimeError: Likewise.
    """
    results = [together(lambda: action() if is_main_process() else None)]
    broadcast_object_list(results)
    return results[0]


def _views(runner: Runner) -> int:
    sampler = getattr(runner.train_dataloader.batch_sampler, 'sampler', None)
    views = getattr(sampler, 'num_views', None)
    if views is None:
        raise UserError(
            "CachedTeacher: the teacher's outputs can be kept for a fixed "
            'number of views only; set train_dataloader.sampler.num_views of '
            'a TwoStreamSampler, or take the teacher out of its '
            'CachedTeacher.'
        )
    return int(views)


def _shapes(
    runner: Runner, model: BaseDistiller, kept: Tuple[str, ...]
) -> Tuple[Dict[str, Tuple[int, ...]], Optional[Tuple[int, int]]]:
    """Gives the shape of one entry of each output, and the tokens' grid."""
    teacher = model.teacher
    known = {
        FEATURE: (teacher.feature_dim,),
        LOGITS: (teacher.num_classes,),
    }
    if set(kept) <= set(known):
        return {name: known[name] for name in kept}, None
    # The number of tokens depends on the size of the images.
    image = _fetcher(runner, model)([(0, 0)])
    output = teacher.teacher(image, kept)
    shapes = {
        name: tuple(values.shape[1:])
        for name, values in output.named_tensors().items()
    }
    return shapes, output.grid


def _fetcher(
    runner: Runner, model: BaseDistiller
) -> Callable[[List[Tuple[int, int]]], torch.Tensor]:
    """Makes images here and now, and prepares them the teacher's way."""
    loader = runner.train_dataloader
    dataset: TwoStreamDataset = loader.dataset

    def fetch(keys: List[Tuple[int, int]]) -> torch.Tensor:
        items = [dataset[SampleKey(*key)] for key in keys]
        data = model.data_preprocessor(loader.collate_fn(items), False)
        batch = model.batch(**data)
        view = 'teacher' if 'teacher' in batch.views else 'student'
        return model.teacher.prepare(batch.image(view), *batch.pixels)

    return fetch
