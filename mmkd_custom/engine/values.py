"""Names and values of a config that are wrong whatever is built of it."""

from __future__ import annotations

import difflib
import inspect
import re
import types
from numbers import Integral, Real
from typing import (
    Any,
    Callable,
    Dict,
    Iterable,
    Optional,
    Tuple,
    Union,
    get_args,
    get_origin,
    get_type_hints,
)

from mmengine.config import Config
from mmengine.runner import Runner

from ..errors import UserError, nearest
from .building import LOADERS, parts_of

_RUNNER = set(inspect.signature(Runner.__init__).parameters) - {'self', 'cfg'}
#: What else is read at a config's top: by the runner, by MMPretrain's tools
#: and by this project.
_ALSO = {
    'activation_checkpointing',
    'compile',
    'custom_imports',
    'efficient_conv_bn_eval',
    'find_unused_parameters',
    'initial_weights',
    'model_wrapper_cfg',
    'runner_type',
    'strategy',
    'sync_bn',
    'task',
    'tta_model',
    'tta_pipeline',
}

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

#: Least and, if there is one, largest value of the options that nothing
#: refuses before they are used. NumPy's generators take no larger seed.
_RANGES: Dict[str, Tuple[int, Optional[int]]] = {
    'train_cfg.max_epochs': (1, None),
    'train_cfg.max_iters': (1, None),
    'train_cfg.val_interval': (1, None),
    'auto_scale_lr.base_batch_size': (1, None),
    'default_hooks.visualization.interval': (1, None),
    'log_processor.window_size': (1, None),
    'randomness.seed': (0, 2**32 - 1),
    **{f'{name}.batch_size': (1, None) for name in LOADERS},
    **{f'{name}.num_workers': (0, None) for name in LOADERS},
}
#: Where the numbers of a class are compared with its hints.
_COUNTED = re.compile(
    r'(train|val|test)_cfg|(custom|default)_hooks\.\w+|log_processor|'
    r'param_scheduler.*|(val|test)_evaluator.*|(\w+_dataloader)(\.dataset)?'
)
_NUMBERS = {int, float, bool, type(None)}
# X | Y is of a type of its own, from Python 3.10 on.
_UNIONS = (Union, getattr(types, 'UnionType', Union))


def check_option_names(names: Iterable[str], config: Config) -> None:
    """Refuses ``--cfg-options`` that nothing would read.

    Args:
        names (Iterable[str]): Dotted names.
        config (Config): The file's content, before they are merged into it.

    Raises:
        UserError: If the first part of one is nothing that a run takes.
    """
    known = _RUNNER | _ALSO
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
    lacking = _RUNNER - {*config.keys(), 'experiment_name', 'launcher'}
    for name in {*config.keys()} - _RUNNER - _ALSO:
        close = difflib.get_close_matches(name, lacking, n=1, cutoff=0.8)
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
    for option, part, kind in parts_of(config):
        if option and not _COUNTED.fullmatch(option):
            continue
        for name, types_ in _numbers(kind).items():
            if name in part and not _fits(part[name], types_):
                raise UserError(
                    f'{f"{option}." if option else ""}{name}: {kind.__name__} '
                    f'expected {" or ".join(t.__name__ for t in types_)}, got '
                    f'{part[name]!r}.'
                )
    for option, (least, most) in _RANGES.items():
        value: Any = config._cfg_dict
        for key in option.split('.'):
            value = value.get(key) if isinstance(value, dict) else None
        if value is not None and not (
            isinstance(value, Integral)
            and least <= value <= (value if most is None else most)
        ):
            raise UserError(
                f'{option}: expected a whole number >= {least}'
                f'{"" if most is None else f" and <= {most}"}, got {value!r}.'
            )


def _numbers(kind: Callable) -> Dict[str, Tuple[type, ...]]:
    """Finds the arguments that a class says are numbers, and of which type."""
    found: Dict[str, Tuple[type, ...]] = {}
    for owner in reversed(getattr(kind, '__mro__', ())):
        takes = vars(owner).get('__init__')
        try:
            hints = get_type_hints(takes)
            parameters = inspect.signature(takes).parameters
        # A hint may name what is imported for type checkers alone.
        except Exception:
            continue
        for name, hint in hints.items():
            either = get_origin(hint) in _UNIONS
            allowed = get_args(hint) if either else (hint,)
            found.pop(name, None)
            if name in parameters and {*allowed} <= _NUMBERS:
                # What is None by default takes None, whatever its hint.
                none = parameters[name].default is None
                found[name] = (*allowed, *([type(None)] if none else []))
    return found


def _fits(value: Any, allowed: Tuple[type, ...]) -> bool:
    if value is None:
        return bool in allowed or type(None) in allowed
    return isinstance(value, Real if float in allowed else Integral)
