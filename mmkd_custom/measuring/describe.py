"""What the teacher of a config is and takes, before any training."""

from __future__ import annotations

from typing import Any, Dict, List, Optional, Sequence

import torch
from mmengine.config import Config
from mmengine.device import get_device

from ..engine.config_data import config_scope
from ..errors import UserError
from ..fitting.config import inner_teacher
from ..models.teachers.base import FrozenTeacher
from ..models.teachers.report import teacher_report
from ..models.teachers.wrappers.base import build_wrapped
from . import processes
from .processes import naming_memory, own_process


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
    size = _checked_size(config, image_size)
    return teacher_report(build_teacher(config), size)


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
                f'{option}: expected a whole number >= 1, got {number}.'
            )
    size = _checked_size(config, image_size)
    rows = []
    for number in max_batches:
        memory = naming_memory(
            f'--batch-size {batch_size}, max_batch {number}'
        )
        with memory, own_process() as process:
            arguments = (config, batch_size, number, size)
            rows.append(process.submit(_measure, *arguments).result())
    return rows


def _checked_size(config: Config, image_size: Optional[int]) -> int:
    """Returns the pixels of images for a config that has a teacher."""
    if not isinstance(inner_teacher(config)[0], dict):
        raise UserError(
            'config: expected a model with a teacher, as in '
            'configs/customkd_mbv3_domain_folder.py, got none.'
        )
    size = config.model.get('input_size', 224)
    size = size if image_size is None else image_size
    if not isinstance(size, int) or size < 1:
        raise UserError(
            f'--image-size: expected a whole number of pixels, got {size}.'
        )
    return size


def build_teacher(config: Config) -> FrozenTeacher:
    """Builds the teacher of a config, without its cache, on the device."""
    with config_scope(config):
        teacher = build_wrapped(inner_teacher(config)[0], 'model.teacher', {})
    return teacher.to(get_device())


def _measure(
    config: Config, batch_size: int, max_batch: Optional[int], size: int
) -> Dict[str, Any]:
    teacher = build_teacher(config)
    # One around another hands it whole batches, which that one cuts anew.
    for module in teacher.modules():
        if isinstance(module, FrozenTeacher):
            module.max_batch = max_batch
    built = _peak_mb()
    images = torch.zeros(batch_size, 3, size, size, device=get_device())
    teacher(teacher.prepare(images))
    return dict(max_batch=max_batch, built_mb=built, peak_mb=_peak_mb())


def _peak_mb() -> float:
    peak = processes.peak_memory()
    return peak.get('gpu_peak_mb', peak['peak_mb'])
