"""Names and values of a config that are wrong whatever is built of it."""

from __future__ import annotations

import difflib
import re
from numbers import Integral
from typing import Any, Dict, Iterable, Optional, Tuple

from mmengine.config import Config

from ..errors import UserError, nearest
from .building import ALSO, LOADERS, RUNNER, dicts_of

#: Sections that are written as a dict, if they are there.
_DICTS = (
    *LOADERS,
    'train_cfg',
    'val_cfg',
    'test_cfg',
    'model',
    'tta_model',
    'optim_wrapper',
    'auto_scale_lr',
    'data_preprocessor',
    'default_hooks',
    'env_cfg',
    'randomness',
)

#: Least and, if there is one, largest value of whole numbers that nothing
#: refuses before they are used. NumPy's generators take no larger seed.
_RANGES: Dict[str, Tuple[int, Optional[int]]] = {
    r'train_cfg\.(max_epochs|max_iters|val_interval)': (1, None),
    r'train_cfg\.val_begin': (0, None),
    r'auto_scale_lr\.base_batch_size': (1, None),
    r'\w+_dataloader\.batch_size': (1, None),
    r'\w+_dataloader\.num_workers': (0, None),
    r'train_dataloader\.dataset\.seed': (0, None),
    r'randomness\.seed': (0, 2**32 - 1),
    r'default_hooks\.visualization\.interval': (1, None),
    r'(default|custom)_hooks\.\w+\.(interval|max_keep_ckpts)': (-1, None),
    r'param_scheduler(\.\w+)*\.(begin|end|T_max|step_size)': (0, None),
    r'log_processor\.window_size': (1, None),
}
#: What is true of any text.
_SWITCHES = ('resume', 'train_cfg.by_epoch')


def check_option_names(names: Iterable[str], config: Config) -> None:
    """Refuses ``--cfg-options`` that nothing would read.

    Args:
        names (Iterable[str]): Dotted names.
        config (Config): The file's content, before they are merged into it.

    Raises:
        UserError: If the first part of one is nothing that a run takes.
    """
    known = RUNNER | ALSO
    for name in names:
        first = name.split('.')[0]
        if first in known and all(name.split('.')):
            continue
        if first in config and 'runner_type' in config:
            # A runner of the user's may read anything.
            continue
        if first in config:
            raise UserError(
                f'--cfg-options {name}: {first!r} is a variable, of which the '
                'file has made other options already; give those, or change '
                'the file.'
            )
        raise UserError(
            f'--cfg-options {name}: there is no such option '
            f'({nearest(first, known)}).'
        )


def check_file_names(config: Config) -> None:
    """Refuses a name of a file that is one letter off what a runner takes.

    Any other name is a variable of the user's.

    Raises:
        UserError: If what it is mistaken for is not there.
    """
    lacking = RUNNER - {*config.keys(), 'experiment_name', 'launcher'}
    for name in {*config.keys()} - RUNNER - ALSO:
        close = difflib.get_close_matches(name, lacking, n=1, cutoff=0.8)
        # The only other name whose absence changes everything.
        if difflib.get_close_matches(name, ['distill'], cutoff=0.8) and (
            isinstance(config[name], dict) and 'teacher' in config[name]
        ):
            close = [*({'distill'} - {*config.keys()})]
        if close:
            raise UserError(
                f'config {config.filename}: {name!r} is read by nothing and '
                f'looks like a misspelt {close[0]!r}, which is not there; '
                'give it another name if it is a variable.'
            )


def check_values(config: Config) -> None:
    """Refuses values that a run would meet late, or not at all.

    Args:
        config (Config): With all options merged.

    Raises:
        UserError: If a section is no dict, or a number is none, or out of its
            range; the sentence names the option.
    """
    for name in _DICTS:
        # What a program builds may hold the objects themselves.
        if isinstance(config.get(name), (str, int, float)):
            raise UserError(f'{name}: expected a dict, got {config[name]!r}.')
    for option, part in dicts_of(config):
        for name, value in part.items():
            _check_value(f'{option}{name}', value)


def _check_value(option: str, value: Any) -> None:
    """Compares a value with the tables."""
    if option in _SWITCHES and not isinstance(value, (bool, type(None))):
        raise UserError(f'{option}: expected True or False, got {value!r}.')
    for pattern, (least, most) in _RANGES.items():
        if value is None or not re.fullmatch(pattern, option):
            continue
        if not (
            isinstance(value, Integral)
            and least <= value <= (value if most is None else most)
        ):
            raise UserError(
                f'{option}: expected a whole number >= {least}'
                f'{"" if most is None else f" and <= {most}"}, got {value!r}.'
            )
