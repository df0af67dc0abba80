"""What teachers that are made of other teachers share."""

from __future__ import annotations

import logging
from typing import Any, Dict, Optional, Sequence, Union

import torch
from mmengine.logging import print_log

from ....errors import UserError
from ....registry import MODELS
from ....utils.class_names import class_difference
from ..base import FrozenTeacher


def build_wrapped(
    teacher: Union[dict, FrozenTeacher],
    option: str,
    execution: Dict[str, Any],
) -> FrozenTeacher:
    """Builds a teacher that another one asks.

    Args:
        teacher (dict | FrozenTeacher): Its config, or the teacher itself.
        option (str): Name of the configuration option, for the error.
        execution (dict): Options of how it runs, such as ``dtype`` and
            ``max_batch``, that take the place of those in its config; None
            leaves one as it is.

    Returns:
        FrozenTeacher: The teacher.

    Raises:
        UserError: If it is no teacher, or built already and to run otherwise.
    """
    given = {k: v for k, v in execution.items() if v is not None}
    if isinstance(teacher, dict):
        teacher = MODELS.build({**teacher, **given})
    elif given:
        raise UserError(
            f'{option}: {", ".join(given)} given for a teacher that is built '
            'already, but its config is wanted.'
        )
    if not isinstance(teacher, FrozenTeacher):
        raise UserError(
            f'{option}: {type(teacher).__name__} is no FrozenTeacher; name '
            'one such as TimmTeacher or MMPretrainTeacher.'
        )
    return teacher


def mirrored(teacher: FrozenTeacher) -> Dict[str, Any]:
    """Gives the options with which a teacher around another sees the same.

    Args:
        teacher (FrozenTeacher): The other teacher.

    Returns:
        dict[str, Any]: Arguments of :class:`FrozenTeacher`.
    """
    preparation = teacher.preparation
    return dict(
        mean=preparation.mean,
        std=preparation.std,
        input_size=preparation.input_size,
        interpolation=preparation.interpolation,
        patch_multiple=preparation.patch_multiple,
        dtype=str(teacher.dtype)[len('torch.') :],
        channels_last=teacher.memory_format is torch.channels_last,
        max_batch=teacher.max_batch,
    )


def feature_name(teacher: FrozenTeacher) -> str:
    """Gives the name of the vector that a teacher's feature is.

    Args:
        teacher (FrozenTeacher): Any teacher.

    Returns:
        str: Such as 'pooled' or 'cls'; 'feature' if it has but one.
    """
    for attribute in ('feature', 'feature_name'):
        value = getattr(teacher, attribute, None)
        if isinstance(value, str):
            return value
    return 'feature'


def input_summary(teacher: FrozenTeacher) -> str:
    """Says what a teacher sees of an image.

    Args:
        teacher (FrozenTeacher): Any teacher.

    Returns:
        str: Size in pixels, interpolation and normalisation; of an ensemble
        those of each of its teachers.
    """
    members = getattr(teacher, 'teachers', None)
    if members is not None:
        return ' + '.join(map(input_summary, members))
    size = (
        "the student's size"
        if teacher.input_size is None
        else '{}x{}'.format(*teacher.input_size)
    )
    mean, std = (
        [round(value, 3) for value in values]
        for values in (teacher.mean, teacher.std)
    )
    return (
        f'{size} {teacher.preparation.interpolation}, mean {mean}, std {std}'
    )


def warn_if_seen_otherwise(
    what: str, teacher: FrozenTeacher, name: str, seen: str
) -> None:
    """Logs a warning if a teacher computes or sees other than it did.

    The digest cannot tell: the same weights may compute otherwise in a
    network of another name, such as one with QuickGELU, and the size of the
    images is none of them.

    Args:
        what (str): What was fitted to the teacher, and its file.
        teacher (FrozenTeacher): As it is now.
        name (str): The name it had.
        seen (str): Its :func:`input_summary`.
    """
    now = input_summary(teacher)
    if (teacher.name, now) != (name, seen):
        print_log(
            f'{what}: was fitted to {name} with images of {seen}, and the '
            f'teacher is {teacher.name} and sees {now}.',
            logger='current',
            level=logging.WARNING,
        )


def check_classes(
    teacher: FrozenTeacher, names: Optional[Sequence[str]]
) -> None:
    """Refuses a teacher whose logits are of other classes than a dataset's.

    Args:
        teacher (FrozenTeacher): Nothing is asked of one that does not know
            the names of its ``classes``.
        names (Sequence[str], optional): The dataset's, in order; None if it
            has none.

    Raises:
        UserError: If number, names or order differ.
    """
    own = getattr(teacher, 'classes', None)
    if own is None or names is None:
        return
    differs = class_difference(
        own, names, (f'teacher {teacher.name}', 'the labelled dataset')
    )
    if differs:
        raise UserError(f'{differs}; fit the teacher to this dataset.')
