"""Names and values of a config that are wrong whatever is built of it."""

from __future__ import annotations

import difflib
import inspect
import types
from numbers import Integral, Real
from typing import (
    Any,
    Dict,
    Iterable,
    Iterator,
    Optional,
    Tuple,
    Union,
    get_args,
    get_origin,
    get_type_hints,
)

from mmengine.config import Config
from mmengine.registry import (
    HOOKS,
    LOG_PROCESSORS,
    LOOPS,
    METRICS,
    PARAM_SCHEDULERS,
    DefaultScope,
    Registry,
)
from mmengine.runner import (
    EpochBasedTrainLoop,
    IterBasedTrainLoop,
    Runner,
    TestLoop,
    ValLoop,
)
from torch.utils.data import DataLoader

from ..errors import UserError, nearest
from ..registry import DATASETS

LOADERS = ('train_dataloader', 'val_dataloader', 'test_dataloader')

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

#: The least of the options that nothing refuses before they are used.
_LEAST = {
    'train_cfg.max_epochs': 1,
    'train_cfg.max_iters': 1,
    'train_cfg.val_interval': 1,
    'auto_scale_lr.base_batch_size': 1,
    'default_hooks.visualization.interval': 1,
    'log_processor.window_size': 1,
    'randomness.seed': 0,
    **{f'{name}.batch_size': 1 for name in LOADERS},
    **{f'{name}.num_workers': 0 for name in LOADERS},
}
_NUMBERS = {int, float, bool, type(None)}
# X | Y is of a type of its own, from Python 3.10 on.
_UNIONS = (Union, getattr(types, 'UnionType', Union))

#: NumPy's generators take no larger seed.
_MOST = {'randomness.seed': 2**32 - 1}


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
        value = config.get(name)
        if value is not None and not isinstance(value, dict):
            # What a program builds may hold the objects themselves.
            if isinstance(value, (str, int, float)):
                raise UserError(f'{name}={value!r}, but a dict is wanted.')
    with DefaultScope.overwrite_default_scope(
        config.get('default_scope', 'mmkd_custom')
    ):
        for option, part, kind in _typed(config):
            for name, wanted in _numbers(kind).items():
                if name in part and not _fits(part[name], wanted):
                    raise UserError(
                        f'{option}{name}={part[name]!r}, but '
                        f'{kind.__name__} wants '
                        f'{" or ".join(t.__name__ for t in wanted)}.'
                    )
    for option, least in _LEAST.items():
        value: Any = config._cfg_dict
        for key in option.split('.'):
            value = value.get(key) if isinstance(value, dict) else None
        most = _MOST.get(option)
        if value is None:
            continue
        if (
            not isinstance(value, Integral)
            or value < least
            or (most is not None and value > most)
        ):
            raise UserError(
                f'{option}={value!r}, but a whole number >= {least}'
                + ('' if most is None else f' and <= {most}')
                + ' is wanted.'
            )


def _typed(config: Config) -> Iterator[Tuple[str, dict, type]]:
    """Gives each part that it is clear what becomes of, with its option."""
    yield '', config._cfg_dict, Runner
    loops = dict(train_cfg=EpochBasedTrainLoop, val_cfg=ValLoop)
    if not (config.get('train_cfg') or {}).get('by_epoch', True):
        loops['train_cfg'] = IterBasedTrainLoop
    for name, kind in dict(loops, test_cfg=TestLoop).items():
        yield from _parts(config.get(name), name, LOOPS, kind)
    for name in LOADERS:
        loader = config.get(name) or {}
        yield from _parts(loader, name, None, DataLoader)
        yield from _parts(loader.get('dataset'), f'{name}.dataset', DATASETS)
    for name, registry in (
        ('custom_hooks', HOOKS),
        ('param_scheduler', PARAM_SCHEDULERS),
        ('val_evaluator', METRICS),
        ('test_evaluator', METRICS),
        ('log_processor', LOG_PROCESSORS),
    ):
        yield from _parts(config.get(name), name, registry)
    for name, part in (config.get('default_hooks') or {}).items():
        yield from _parts(part, f'default_hooks.{name}', HOOKS)


def _parts(
    node: Any,
    option: str,
    registry: Optional[Registry],
    kind: Optional[type] = None,
) -> Iterator[Tuple[str, dict, type]]:
    if isinstance(node, (list, tuple)):
        for i, part in enumerate(node):
            yield from _parts(part, f'{option}.{i}', registry, kind)
    elif isinstance(node, dict):
        named = node.get('type')
        if registry is not None and isinstance(named, str):
            kind = registry.get(named)
        elif named is not None:
            kind = named
        # What is of no known type is told where it is built.
        if inspect.isclass(kind):
            yield f'{option}.', node, kind


def _numbers(kind: type) -> Dict[str, Tuple[type, ...]]:
    """Gives the arguments that a class says are numbers, and of which type."""
    found: Dict[str, Tuple[type, ...]] = {}
    for owner in reversed(kind.__mro__):
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


def _fits(value: Any, wanted: Tuple[type, ...]) -> bool:
    if value is None:
        return bool in wanted or type(None) in wanted
    return isinstance(value, Real if float in wanted else Integral)
