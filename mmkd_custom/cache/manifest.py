"""What cached teacher outputs are a function of."""

from __future__ import annotations

import enum
import functools
import hashlib
import math
import re
from typing import Any, Dict, Tuple

import mmcv
import mmengine
import numpy as np
import torch

from ..datasets import TwoStreamDataset
from ..datasets.wrappers import leaves
from ..models.distillers import BaseDistiller
from ..models.teachers import FrozenTeacher
from ..models.teachers.wrappers.base import input_summary
from ..stages import STREAMS
from ..version import __version__
from .store_manifest import MADE_WITH
from .teacher import CachedTeacher

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
    divisor = int(getattr(preprocessor, 'pad_size_divisor', 1))
    return dict(
        teacher=teacher.name,
        teacher_sha256=teacher.digest(),
        teacher_options=_teacher_options(teacher),
        teacher_layers=_layers(teacher),
        teacher_input=input_summary(teacher),
        student_input=dict(
            mean=preprocessor.mean.flatten().tolist() if normalised else None,
            std=preprocessor.std.flatten().tolist() if normalised else None,
            to_rgb=bool(getattr(preprocessor, 'to_rgb', True)),
            # What was padded for the student, the teacher sees too.
            **(
                dict(padding=[divisor, options_of(preprocessor.pad_value)])
                if divisor > 1
                else {}
            ),
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
    if isinstance(value, enum.Enum):
        # Before numbers and texts: it may be one as well.
        return f'{type(value).__name__}.{value.name}'
    if value is None or isinstance(value, bool):
        return value
    # What derives from these, as NumPy's float64 does, JSON gives back as
    # the plain type.
    for kind in (int, str):
        if isinstance(value, kind):
            return kind(value)
    if isinstance(value, float):
        # NaN would not equal itself.
        return 'nan' if math.isnan(value) else float(value)
    if id(value) in within:
        return '...'
    below = functools.partial(options_of, within=(*within, id(value)))
    if isinstance(value, np.generic):
        return below(value.item())
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


def _layers(teacher: FrozenTeacher) -> str:
    """Digests the layers in order, with what has no weights between them."""
    text = re.sub(r' at 0x[0-9a-f]+', '', repr(teacher))
    return hashlib.sha256(text.encode()).hexdigest()


def _pipelines(dataset: TwoStreamDataset) -> Dict[str, Any]:
    """The pipelines that make what the teacher sees."""
    if dataset.teacher_pipeline is not None:
        return dict(teacher=options_of(dataset.teacher_pipeline.transforms))
    found = {}
    for name in STREAMS:
        if getattr(dataset, name) is not None:
            options = [
                options_of(leaf.pipeline.transforms)
                for leaf in leaves(getattr(dataset, name))
            ]
            found[name] = options if len(options) > 1 else options[0]
    return found
