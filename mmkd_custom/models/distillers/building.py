"""Builds what a distiller is made of."""

from __future__ import annotations

import copy
from typing import Dict, Optional, Union

import torch.nn as nn
from mmpretrain.models.utils import ClsDataPreprocessor
from mmpretrain.models.utils.batch_augments import RandomBatchAugment

from ...errors import UserError
from ...registry import MODELS
from ...stages import STUDENT, TEACHER
from ...utils.compat import keep_nested_state_dict
from ..data_preprocessor import DistillDataPreprocessor
from ..student import Student
from ..teachers import FrozenTeacher


def build_teachers(
    teacher: Union[dict, FrozenTeacher, None],
    teachers: Optional[Dict[str, Union[dict, FrozenTeacher]]],
) -> Dict[str, FrozenTeacher]:
    """Builds the teachers of a distiller.

    Args:
        teacher (dict | FrozenTeacher, optional): The only one.
        teachers (dict[str, dict], optional): Or several, by name.

    Returns:
        dict[str, FrozenTeacher]: By name; the only one is ``teacher``.

    Raises:
        UserError: If both are given, a name is taken, or one is of another
            kind.
    """
    if teacher is not None and teachers:
        raise UserError(
            'teacher, teachers: expected one of them, got both; name the '
            'single teacher in teachers.'
        )
    built = {}
    given = teachers or ({} if teacher is None else {TEACHER: teacher})
    for name, each in given.items():
        option = TEACHER if teacher is not None else f'teachers.{name}'
        if name in (STUDENT, 'batch') or not str(name).isidentifier():
            raise UserError(
                f'teachers: expected a name such as clip, got {name!r}.'
            )
        built[name] = MODELS.build(each) if isinstance(each, dict) else each
        if not isinstance(built[name], FrozenTeacher):
            raise UserError(
                f'{option}: expected a FrozenTeacher such as TimmTeacher, got '
                f'a {type(built[name]).__name__}.'
            )
    return built


def build_student(student: Union[dict, nn.Module]) -> nn.Module:
    """Builds a student, or takes one that is built."""
    if not isinstance(student, nn.Module):
        student = dict(student)
        # The distiller preprocesses and mixes; a second preprocessor inside
        # the student would only hide that.
        student.pop('data_preprocessor', None)
        student.pop('train_cfg', None)
        student = MODELS.build(student)
    keep_nested_state_dict(student)
    return student


def build_preprocessor(
    cfg: Union[dict, nn.Module, None],
    student: Union[dict, nn.Module, None] = None,
) -> nn.Module:
    """Builds the preprocessor; MMPretrain's own becomes this package's.

    What the student says of preprocessing is taken over where ``cfg`` says
    nothing: the whole of it without ``cfg``, else its batch augmentations.

    Args:
        cfg (dict | nn.Module, optional): Its config, or one that is built.
        student (dict | nn.Module, optional): The student. Defaults to None.

    Returns:
        nn.Module: A ``DistillDataPreprocessor`` where MMPretrain's
        ``ClsDataPreprocessor`` was asked for, else what was asked for.

    Raises:
        UserError: If a built ``ClsDataPreprocessor`` is given, which cannot
            take batches in which only some samples carry a label, or one
            that cannot take over the student's batch augmentations.
    """
    own = {}
    if isinstance(student, dict):
        own = dict(student.get('data_preprocessor') or {})
        train = student.get('train_cfg') or {}
        own.setdefault(
            'batch_augments', train if train.get('augments') else None
        )
    elif student is not None:
        own['batch_augments'] = getattr(
            getattr(student, 'data_preprocessor', None), 'batch_augments', None
        )
    augments = own.get('batch_augments')
    if isinstance(cfg, nn.Module):
        if type(cfg) is ClsDataPreprocessor:
            raise UserError(
                'data_preprocessor: expected a config or a '
                'DistillDataPreprocessor, which takes unlabelled samples, got '
                'a built ClsDataPreprocessor.'
            )
        built = cfg
    else:
        cfg = dict(cfg or {k: v for k, v in own.items() if v is not augments})
        kind = cfg.get('type', DistillDataPreprocessor)
        if isinstance(kind, str):
            kind = MODELS.get(kind) or kind
        if kind is ClsDataPreprocessor:
            kind = DistillDataPreprocessor
        built = MODELS.build(dict(copy.deepcopy(cfg), type=kind))
    if augments and getattr(built, 'batch_augments', None) is None:
        if not isinstance(built, DistillDataPreprocessor):
            raise UserError(
                'data_preprocessor: expected a DistillDataPreprocessor, which '
                "mixes as the student's train_cfg.augments says, got a "
                f'{type(built).__name__}.'
            )
        if isinstance(augments, dict):
            augments = RandomBatchAugment(**copy.deepcopy(augments))
        built.batch_augments, built.to_onehot = augments, True
    return built


def fit_preprocessor(preprocessor: nn.Module, student: Student) -> None:
    """Has a preprocessor give what the student takes.

    Args:
        preprocessor (nn.Module): Changed in place.
        student (Student): What is known of the student.

    Raises:
        UserError: If it makes labels scores of another number of classes.
    """
    if not isinstance(preprocessor, DistillDataPreprocessor):
        return
    if not student.split.channels_last:
        preprocessor.channels_last = False
    if student.split.scores:
        preprocessor.to_onehot = True
    if preprocessor.to_onehot:
        if preprocessor.num_classes is None:
            preprocessor.num_classes = student.num_classes
        if preprocessor.num_classes != student.num_classes:
            raise UserError(
                f'data_preprocessor.num_classes: expected '
                f'{student.num_classes}, as many as the student has, got '
                f'{preprocessor.num_classes}.'
            )
