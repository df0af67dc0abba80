"""Builds what a distiller is made of."""

from __future__ import annotations

from typing import Union

import torch.nn as nn
from mmpretrain.models.utils import ClsDataPreprocessor

from ...compat import keep_nested_state_dict
from ...errors import UserError
from ...registry import MODELS
from ..data_preprocessor import DistillDataPreprocessor


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
    return MODELS.build(cfg)


def build_student(student: Union[dict, nn.Module]) -> nn.Module:
    """Builds a student, or takes one that is built."""
    if not isinstance(student, nn.Module):
        student = dict(student)
        # The distiller preprocesses; a second preprocessor inside the student
        # would only hide that.
        student.pop('data_preprocessor', None)
        student = MODELS.build(student)
    keep_nested_state_dict(student)
    return student


def build_preprocessor(
    cfg: Union[dict, nn.Module, None],
) -> nn.Module:
    """Builds the preprocessor; MMPretrain's own becomes this package's.

    Args:
        cfg (dict | nn.Module, optional): Its config, or one that is built.

    Returns:
        nn.Module: A ``DistillDataPreprocessor`` where MMPretrain's
        ``ClsDataPreprocessor`` was asked for, else what was asked for.

    Raises:
        UserError: If a built ``ClsDataPreprocessor`` is given, which cannot
            take batches in which only some samples carry a label.
    """
    if isinstance(cfg, nn.Module):
        if type(cfg) is ClsDataPreprocessor:
            raise UserError(
                'data_preprocessor: a built ClsDataPreprocessor takes no '
                'unlabelled samples; give its config, or a '
                'DistillDataPreprocessor.'
            )
        return cfg
    cfg = dict(cfg or {})
    kind = cfg.get('type', DistillDataPreprocessor)
    if isinstance(kind, str):
        kind = MODELS.get(kind) or kind
    if kind is ClsDataPreprocessor:
        kind = DistillDataPreprocessor
    return MODELS.build(dict(cfg, type=kind))
