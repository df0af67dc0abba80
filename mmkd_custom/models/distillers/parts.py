"""Builds what a distiller is made of."""

from __future__ import annotations

from typing import Union

import torch.nn as nn

from ...compat import keep_nested_state_dict
from ...errors import UserError
from ...registry import MODELS

PREPROCESSOR = 'mmkd_custom.DistillDataPreprocessor'


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
) -> Union[dict, nn.Module]:
    """Builds the preprocessor; MMPretrain\'s own becomes this package\'s."""
    if isinstance(cfg, nn.Module):
        return cfg
    cfg = dict(cfg or {})
    if cfg.get('type', 'ClsDataPreprocessor') in (
        'ClsDataPreprocessor',
        'mmpretrain.ClsDataPreprocessor',
    ):
        cfg['type'] = PREPROCESSOR
    return MODELS.build(cfg)
