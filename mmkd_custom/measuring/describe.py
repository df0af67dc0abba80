"""Describes the teacher of a config: what it costs, before any training."""

from __future__ import annotations

import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Any, Dict, List, Optional, Sequence

import torch
from mmengine.config import Config
from mmengine.device import get_device
from mmengine.registry import DefaultScope
from mmengine.utils import import_modules_from_strings

from ..engine.building import naming_misspelt
from ..errors import UserError
from ..fitting.config import inner_teacher
from ..models.teachers.base import FrozenTeacher
from ..models.teachers.report import teacher_report
from ..models.teachers.wrappers.base import build_wrapped
from .memory import resident_peak_mb


def describe_config(
    config: Config, image_size: Optional[int] = None
) -> Dict[str, Any]:
    """Reports on the teacher of a config, as a run does when it starts.

    Args:
        config (Config): From :func:`~mmkd_custom.engine.config.load_config`,
            with a teacher in its model; of a ``CachedTeacher``, the teacher
            inside is described.
        image_size (int, optional): Pixels of the images that come to the
            teacher. Defaults to None, the ``input_size`` of the model.

    Returns:
        dict[str, Any]: See :func:`~mmkd_custom.models.teachers.report.
        teacher_report`.

    Raises:
        UserError: If the config has no teacher, or it cannot be built.
    """
    job = _job(config, image_size)
    return teacher_report(_build(job), job['image_size'])


def peak_memory(
    config: Config,
    batch_size: int,
    max_batches: Sequence[Optional[int]],
    image_size: Optional[int] = None,
) -> List[Dict[str, Any]]:
    """Measures what a batch takes at the most, for several ``max_batch``.

    Each is measured in a process of its own, because the peak of a process
    never falls.

    Args:
        config (Config): As for :func:`describe_config`.
        batch_size (int): Images in the batch.
        max_batches (Sequence[int | None]): The teacher's ``max_batch``, in
            turn.
        image_size (int, optional): As for :func:`describe_config`.

    Returns:
        list[dict[str, Any]]: ``max_batch``; ``built_mb`` and ``peak_mb``,
        10^6 bytes before the first and after the last image: on a GPU what
        was allocated there, otherwise the largest resident size of the
        process, libraries and weights included.

    Raises:
        UserError: If the config has no teacher, it cannot be built, or the
            memory is not enough.
    """
    for option, number in [
        ('--batch-size', batch_size),
        *(('--max-batch', n) for n in max_batches if n is not None),
    ]:
        if number < 1:
            raise UserError(
                f'{option} {number}: a whole number >= 1 is wanted.'
            )
    job = _job(config, image_size)
    rows = []
    for max_batch in max_batches:
        context = multiprocessing.get_context('spawn')
        with ProcessPoolExecutor(1, mp_context=context) as process:
            try:
                row = process.submit(
                    _measure, job, batch_size, max_batch
                ).result()
            except (BrokenProcessPool, torch.OutOfMemoryError) as error:
                raise UserError(
                    f'--batch-size {batch_size}: with max_batch={max_batch} '
                    'the memory of this machine is not enough.'
                ) from error
        rows.append(row)
    return rows


def _job(config: Config, image_size: Optional[int]) -> Dict[str, Any]:
    """What another process needs to build the teacher."""
    model = config.get('model') or {}
    spec, _ = inner_teacher(config)
    if not isinstance(spec, dict):
        raise UserError(
            'config: its model has no teacher, but one is wanted to be '
            'described, as in configs/customkd_mbv3_domain_folder.py.'
        )
    size = model.get('input_size', 224) if image_size is None else image_size
    if not isinstance(size, int) or size < 1:
        raise UserError(
            f'--image-size {size}: a whole number of pixels is wanted.'
        )
    return dict(
        teacher=spec.to_dict() if hasattr(spec, 'to_dict') else dict(spec),
        scope=config.get('default_scope', 'mmkd_custom'),
        imports=dict(config.get('custom_imports') or {}),
        image_size=size,
    )


def _build(job: Dict[str, Any]) -> FrozenTeacher:
    if job['imports']:
        import_modules_from_strings(**job['imports'])
    scope = DefaultScope.overwrite_default_scope(job['scope'])
    with scope, naming_misspelt(job['teacher']):
        teacher = build_wrapped(job['teacher'], 'model.teacher', {})
    return teacher.to(get_device())


def _measure(
    job: Dict[str, Any], batch_size: int, max_batch: Optional[int]
) -> Dict[str, Any]:
    teacher = _build(job)
    # One around another hands it whole batches, which that one cuts anew.
    for module in teacher.modules():
        if isinstance(module, FrozenTeacher):
            module.max_batch = max_batch
    built = _peak_mb()
    size = job['image_size']
    images = torch.zeros(batch_size, 3, size, size, device=get_device())
    teacher(teacher.prepare(images))
    return dict(max_batch=max_batch, built_mb=built, peak_mb=_peak_mb())


def _peak_mb() -> float:
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated() / 1e6
    return resident_peak_mb()
