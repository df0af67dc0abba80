"""Student, teacher and method: the model of the expanded config."""

from __future__ import annotations

from typing import Any, Optional, Type

from mmengine.config import Config
from mmpretrain.models.classifiers import BaseClassifier

from ..datasets.wrappers import pipeline_of
from ..errors import UserError, nearest
from ..models.distillers import BaseDistiller
from ..registry import MODELS
from ..stages import DISTILLATION, Stage, StageSchedule
from ..utils.kinds import kind_name
from .elsewhere import check_student
from .key import Key
from .shipped import scoped, shipped, shipped_names
from .teachers import teacher_config

#: Options of a transform that say how large its images are.
_SIZES = ('scale', 'crop_size', 'size')


def method_config(key: Key) -> dict:
    """Returns the distiller's config, without student and teacher.

    Args:
        key (Key): The key.

    Returns:
        dict: With its ``type``.

    Raises:
        UserError: If there is no such method, or its type is no distiller.
    """
    if isinstance(key.method, str):
        known = shipped_names('methods')
        if key.method not in known:
            raise UserError(
                f'distill.method: expected a dict or one of '
                f'{", ".join(known)}, got {key.method!r} '
                f'({nearest(key.method, known)}).'
            )
        return shipped(f'methods/{key.method}.py')['method']
    method = scoped(key.method)
    kind = class_of(method)
    if kind is None or not issubclass(kind, BaseDistiller):
        raise UserError(
            'distill.method: expected the type of a distiller, such as '
            f'CustomKD or Distiller, got {key.method.get("type")!r}.'
        )
    for name in ('student', 'teacher', 'input_size', 'data_preprocessor'):
        if name in method:
            raise UserError(
                f'distill.method: expected no {name}, which follows from the '
                'rest of the config, got one.'
            )
    return method


def stages_of(method: dict) -> StageSchedule:
    """Returns the stages of a method; builds nothing.

    A class with other stages than distillation says so by a classmethod
    ``schedule_of``, which takes the options of its config.
    """
    find = getattr(class_of(method), 'schedule_of', None)
    if find is None:
        return StageSchedule([Stage(DISTILLATION)])
    return find(**method)


def set_model(config: Config, key: Key, method: dict) -> None:
    """Puts the distiller in place of the student, in place.

    Args:
        config (Config): With the student's ``model``.
        key (Key): The key.
        method (dict): From :func:`method_config`.

    Raises:
        UserError: If the model is no classifier, or a distiller already, or
            has an option of the distiller's.
    """
    student = config.get('model')
    kind = class_of(student)
    if kind is not None and issubclass(kind, BaseDistiller):
        raise UserError(
            f'distill: expected the student alone in model, got a '
            f'{kind.__name__}, which is a distiller already; drop one of '
            'them.'
        )
    if kind is None or not issubclass(kind, BaseClassifier):
        raise UserError(
            'distill: expected model to be a classifier of MMPretrain, such '
            'as ImageClassifier, got '
            f'{(student or {}).get("type")!r}.'
        )
    check_student(student, kind, class_of(method) or BaseDistiller)
    preprocessor = student.pop('data_preprocessor', None)
    model = dict(
        **method,
        student=student,
        input_size=key.input_size or _input_size(config),
    )
    if 'teachers' in method:
        raise UserError(
            'distill.method: expected one teacher, that of distill.teacher, '
            'got teachers; write the config out for several.'
        )
    model['teacher'] = teacher_config(key)
    _start_student(config, student)
    config.model = model
    # MMEngine prefers the model's own.
    config.data_preprocessor = _preprocessor(
        preprocessor or config.get('data_preprocessor')
    )


def class_of(part: Any) -> Optional[Type]:
    """Returns the class of a part of a config; None if it is none."""
    kind = part.get('type') if isinstance(part, dict) else None
    if not isinstance(kind, str):
        return kind if isinstance(kind, type) else None
    try:
        return MODELS.get(kind)
    # So MMEngine says that there is none.
    except RuntimeError:
        return None


def _start_student(config: Config, student: dict) -> None:
    """Has the student start where the config says, in place.

    ``load_from`` names weights of the student alone. A run that goes on has
    those of all.
    """
    if config.get('load_from') and not config.get('resume'):
        student['init_cfg'] = dict(
            type='Pretrained', checkpoint=config.load_from
        )
        config.load_from = None


def _preprocessor(given: Optional[dict]) -> dict:
    given = dict(given or {})
    name = kind_name(given)
    if name not in ('', 'ClsDataPreprocessor', 'DistillDataPreprocessor'):
        raise UserError(
            'distill: expected a ClsDataPreprocessor as data_preprocessor, '
            f'got a {name}.'
        )
    return dict(given, type='mmkd_custom.DistillDataPreprocessor')


def _input_size(config: Config) -> int:
    """Reads the student's size off its training pipeline.

    Args:
        config (Config): With a ``train_dataloader``.

    Returns:
        int: Edge in pixels of the last crop or resize; 224 without any.
    """
    dataset = (config.get('train_dataloader') or {}).get('dataset') or {}
    size = 224
    for step in pipeline_of(dataset) or []:
        name = kind_name(step)
        if name.endswith(('Crop', 'Resize', 'ResizeEdge')):
            given = next((step[k] for k in _SIZES if k in step), size)
            size = given if isinstance(given, int) else max(given)
    return size
