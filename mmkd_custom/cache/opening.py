"""Opening the caches of a run's teachers, and reading in place of images."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Dict, List, Optional, Tuple

import torch
from mmengine.hooks import Hook
from mmengine.runner import Runner

from ..datasets import SampleKey
from ..engine.teacher_pass import distiller_of, name_images
from ..engine.together import by_rank_0, together
from ..engine.unwrap import unwrapped
from ..errors import UserError
from ..models.distillers import BaseDistiller
from ..models.outputs import FEATURE, LOGITS
from ..registry import HOOKS
from ..stages import STUDENT, TEACHER
from .files import CACHE_FOLDER
from .manifest import cache_manifest
from .store import FeatureStore
from .teacher import CachedTeacher, Fetch


@HOOKS.register_module()
class TeacherCacheHook(Hook):
    """Takes the cache of every ``CachedTeacher`` into use.

    A batch of which all is known that a teacher will be asked comes without
    images for it, and without any in a stage where nobody else looks at one,
    such as CustomKD's customization. Does nothing for a model that has no
    ``CachedTeacher``.
    """

    # Before whatever asks the teacher (StandardizeTeacherHook, HIGH).
    priority = 20

    def before_train(self, runner: Runner) -> None:
        """Opens the caches.

        Raises:
            UserError: As :func:`open_caches`.
        """
        if not open_caches(runner):
            return
        name_images(runner, unwrapped(runner))

    def after_train(self, runner: Runner) -> None:
        """Has what was computed written to disk."""
        for teacher in cached_teachers(runner).values():
            if teacher.store is not None:
                teacher.store.flush()


def open_caches(runner: Runner) -> Dict[str, CachedTeacher]:
    """Opens, or makes, the caches of a run's teachers; takes them into use.

    To be called by all ranks: rank 0 describes what the entries depend on
    and makes the files, and a mistake is every rank's.

    Args:
        runner (Runner): With its model and training loader built.

    Returns:
        dict[str, CachedTeacher]: Those of the model's teachers that are
        cached and asked in their own view, by name.

    Raises:
        UserError: If views are not fixed, a cache is one of something else,
            damaged or cannot be made, or it lacks entries where none can be
            written.
    """
    opened = {}
    for name, teacher in cached_teachers(runner).items():
        model = distiller_of(runner, 'CachedTeacher')
        kept = teacher.kept(model.asked(name))
        if kept:
            _open(runner, model, name, teacher, kept)
            opened[name] = teacher
    return opened


def manifest_of(
    runner: Runner, model: BaseDistiller, name: str
) -> Dict[str, Any]:
    """Describes what the outputs of one of a run's teachers depend on.

    Args:
        runner (Runner): Whose training images it is asked about.
        model (BaseDistiller): Its distiller.
        name (str): The teacher's.

    Returns:
        dict[str, Any]: As of :func:`.manifest.cache_manifest`, the same with
        a cache around the teacher as without.
    """
    several = (runner.cfg.get('model') or {}).get('teachers')
    option = f'model.teachers.{name}' if several else 'model.teacher'
    teacher = model.teachers[name]
    if isinstance(teacher, CachedTeacher):
        option, teacher = f'{option}.teacher', teacher.teacher
    return cache_manifest(
        runner.cfg,
        option,
        teacher,
        model.data_preprocessor,
        runner.train_dataloader.dataset,
    )


def cached_teachers(runner: Runner) -> Dict[str, CachedTeacher]:
    """Returns those of a run's teachers that are cached, by name.

    Raises:
        UserError: If one is inside another teacher, which would never read.
    """
    found = {}
    teachers = getattr(unwrapped(runner), 'teachers', None) or {}
    for name, teacher in teachers.items():
        for module in teacher.modules():
            if isinstance(module, CachedTeacher) and module is not teacher:
                kind = type(teacher).__name__
                raise UserError(
                    f'{name}: expected the CachedTeacher around the {kind}, '
                    'got it inside, where it would never be used.'
                )
        if isinstance(teacher, CachedTeacher):
            found[name] = teacher
    return found


def _open(
    runner: Runner,
    model: BaseDistiller,
    name: str,
    teacher: CachedTeacher,
    kept: Tuple[str, ...],
) -> None:
    dataset = runner.train_dataloader.dataset
    clean = TEACHER in dataset.clean
    sampler = getattr(runner.train_dataloader.batch_sampler, 'sampler', None)
    views = 1 if clean else getattr(sampler, 'num_views', None)
    if views is None:
        raise UserError(
            'CachedTeacher: expected train_dataloader.sampler.num_views of a '
            "TwoStreamSampler, or dataset.clean=('teacher',), because the "
            'outputs of a fixed number of views can be kept, got neither.'
        )
    suffix = '' if name == TEACHER else f'_{name}'
    folder = teacher.cache_dir or Path(
        runner.work_dir, f'{CACHE_FOLDER}{suffix}'
    )
    # Before an image is made: transforms may note what they did.
    manifest = by_rank_0(lambda: manifest_of(runner, model, name))
    fetch = _fetcher(runner, model, teacher)
    shapes, grid = together(lambda: _shapes(teacher, kept, fetch))
    if grid is not None:
        manifest['grid'] = list(grid)

    def opened() -> Tuple[FeatureStore, int]:
        store = FeatureStore(
            folder,
            manifest,
            len(dataset),
            views,
            shapes,
            teacher.cache_dtype,
        )
        missing = store.count_missing()
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
    own = TEACHER in dataset.pipelines
    teacher.bind(store, fetch, TEACHER if own else STUDENT, clean)
    runner.logger.info(
        f'Teacher: cache {store.folder} ('
        f'{", ".join(kept)}; {store.dtype}; {len(dataset)} samples in '
        f'{"one clean view" if clean else f"{views} views"}; '
        f'{store.nbytes / 1e6:.1f} MB), '
        + (f'{missing} entries missing.' if missing else 'complete.')
    )


def _shapes(
    teacher: CachedTeacher, kept: Tuple[str, ...], fetch: Fetch
) -> Tuple[Dict[str, Tuple[int, ...]], Optional[Tuple[int, int]]]:
    """Returns the shape of one entry of each array, and the tokens' grid."""
    known = {FEATURE: (teacher.feature_dim,), LOGITS: (teacher.num_classes,)}
    if set(kept) <= set(known):
        return {name: known[name] for name in kept}, None
    # The number of tokens depends on the size of the images.
    output = teacher.teacher(fetch([(0, 0)]), kept)
    shapes = {
        name: tuple(values.shape[1:])
        for name, values in output.named_tensors().items()
    }
    return shapes, output.grid


def _fetcher(
    runner: Runner, model: BaseDistiller, teacher: CachedTeacher
) -> Fetch:
    """Makes images here and now, and prepares them the teacher's way."""
    loader = runner.train_dataloader

    def fetch(keys: List[Tuple[int, int]]) -> torch.Tensor:
        items = [loader.dataset[SampleKey(*key, (TEACHER,))] for key in keys]
        data = model.data_preprocessor(loader.collate_fn(items), False)
        batch = model.batch(**data)
        view = TEACHER if TEACHER in batch.views else STUDENT
        return teacher.prepare(batch.image(view), *batch.pixels)

    return fetch
