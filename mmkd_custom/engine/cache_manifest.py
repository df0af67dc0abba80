"""What cached teacher outputs are a function of."""

from __future__ import annotations

import functools
import hashlib
from typing import Any, Dict, Tuple

import mmcv
import mmengine
import numpy as np
import torch

from ..datasets import TwoStreamDataset
from ..models.distillers import BaseDistiller
from ..models.teachers import CachedTeacher, FrozenTeacher
from ..models.teachers.store_manifest import MADE_WITH
from ..models.teachers.wrapped import input_summary
from ..stages import STREAMS
from ..version import __version__

#: Attributes of a teacher that say where it came from or how it runs, and
#: not what it computes.
_NO_MATTER = ('weights', 'max_batch', 'memory_format', 'training', 'dims')


def cache_manifest(
    model: BaseDistiller, dataset: TwoStreamDataset
) -> Dict[str, Any]:
    """Describes what the teacher's outputs by (sample, view) depend on.

    The teacher's weights, options and dtype, how it and the student prepare
    images, the pipelines that make them, which images there are in which
    order, and the seed of the views.

    Args:
        model (BaseDistiller): With a :class:`CachedTeacher`.
        dataset (TwoStreamDataset): Its training images.

    Returns:
        dict[str, Any]: As JSON holds it.
    """
    cached = model.teacher
    assert isinstance(cached, CachedTeacher)
    teacher = cached.teacher
    preprocessor = model.data_preprocessor
    normalised = getattr(preprocessor, '_enable_normalize', False)
    return dict(
        teacher=teacher.name,
        teacher_sha256=teacher.digest(),
        teacher_options=_teacher_options(teacher),
        teacher_input=input_summary(teacher),
        student_input=dict(
            mean=preprocessor.mean.flatten().tolist() if normalised else None,
            std=preprocessor.std.flatten().tolist() if normalised else None,
            to_rgb=bool(getattr(preprocessor, 'to_rgb', True)),
        ),
        pipelines=_pipelines(dataset),
        dataset_sha256=dataset.samples_sha256(),
        seed=int(dataset.seed),
        **{
            MADE_WITH: dict(
                mmkd_custom=__version__,
                torch=torch.__version__,
                mmengine=mmengine.__version__,
                mmcv=mmcv.__version__,
            )
        },
    )


def options_of(value: Any, within: Tuple[int, ...] = ()) -> Any:
    """Writes an object's options down as JSON holds them.

    An object counts with the name of its class and its public attributes, so
    that an option counts however it was given, a default included; what is
    private, and so a network inside, does not. Arrays count with their bytes.

    Args:
        value (Any): A transform, say.
        within (tuple[int]): Ids of the objects that it is part of. Defaults
            to none.

    Returns:
        Any: Equal for objects that were built alike.
    """
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if id(value) in within:
        return '...'
    below = functools.partial(options_of, within=(*within, id(value)))
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, dict):
        return {str(name): below(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [below(item) for item in value]
    if isinstance(value, (set, frozenset)):
        return sorted(str(below(item)) for item in value)
    if isinstance(value, torch.Tensor):
        value = value.detach().cpu().numpy()
    if isinstance(value, np.ndarray):
        content = hashlib.sha256(np.ascontiguousarray(value).tobytes())
        return f'{value.dtype} {value.shape} {content.hexdigest()}'
    if isinstance(value, functools.partial):
        return [below(value.func), below(value.args), below(value.keywords)]
    if isinstance(value, type) or hasattr(value, '__qualname__'):
        return f'{value.__module__}.{value.__qualname__}'
    if not hasattr(value, '__dict__'):
        # Such as a torch.dtype; objects without options of their own.
        return str(value) if '0x' not in str(value) else type(value).__name__
    attributes = {
        name: below(item)
        for name, item in sorted(vars(value).items())
        if not name.startswith('_')
    }
    return dict(type=type(value).__name__, **attributes)


def _teacher_options(teacher: FrozenTeacher) -> Any:
    """Options of a teacher and of those it is made of."""
    found = []
    for module in teacher.modules():
        if isinstance(module, FrozenTeacher):
            options = options_of(module)
            for name in _NO_MATTER:
                options.pop(name, None)
            found.append(options)
    return found


def _pipelines(dataset: TwoStreamDataset) -> Dict[str, Any]:
    """The pipelines that make what the teacher sees."""
    if dataset.teacher_pipeline is not None:
        return dict(teacher=options_of(dataset.teacher_pipeline.transforms))
    return {
        name: options_of(getattr(dataset, name).pipeline.transforms)
        for name in STREAMS
        if getattr(dataset, name) is not None
    }
