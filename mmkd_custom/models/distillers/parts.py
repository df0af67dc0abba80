"""Builds what a distiller is made of."""

from __future__ import annotations

import copy
from typing import Union

import torch.nn as nn
from mmpretrain.models.utils import ClsDataPreprocessor
from mmpretrain.models.utils.batch_augments import RandomBatchAugment

from ...errors import UserError
from ...registry import MODELS
from ...utils.compat import keep_nested_state_dict
from ..data_preprocessor import DistillDataPreprocessor
from ..student import Student


def build_connector(
    option: str, cfg: dict, in_channels: int, out_channels: int
) -> nn.Module:
    """Builds a connector between two features whose widths are known.

    Args:
        option (str): Name of the configuration option, for the error.
        cfg (dict): Its config; channels may be left out.
        in_channels (int): Width of what it takes.
        out_channels (int): Width of what it gives.

    Returns:
        nn.Module: The connector.

    Raises:
        UserError: If the config names other widths.
    """
    cfg = dict(cfg)
    wanted = dict(in_channels=in_channels, out_channels=out_channels)
    for key, value in wanted.items():
        if cfg.setdefault(key, value) != value:
            raise UserError(
                f'{option}: {key}={cfg[key]} does not fit, but '
                f'{in_channels} -> {out_channels} is wanted between teacher '
                'and student; leave the channels out to have them inferred.'
            )
    cfg.update(source=cfg.pop('in_channels'), target=cfg.pop('out_channels'))
    return MODELS.build(cfg)


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
                'data_preprocessor: a built ClsDataPreprocessor takes no '
                'unlabelled samples; give its config, or a '
                'DistillDataPreprocessor.'
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
