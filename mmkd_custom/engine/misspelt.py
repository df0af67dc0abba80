"""What of a config nothing can be built from, told in one sentence."""

from __future__ import annotations

import inspect
import re
import textwrap
import traceback
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Dict, Iterator, Optional, Set

from mmengine.dataset import dataset_wrapper
from mmengine.dist import get_world_size
from mmengine.hooks import CheckpointHook
from mmengine.optim import DefaultOptimWrapperConstructor, OptimWrapper
from mmengine.registry import (
    Registry,
    build_from_cfg,
    build_runner_from_cfg,
    build_scheduler_from_cfg,
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
from ..utils.class_names import class_difference

_NAMED = (
    inspect.Parameter.POSITIONAL_OR_KEYWORD,
    inspect.Parameter.KEYWORD_ONLY,
)


@contextmanager
def naming_misspelt() -> Iterator[None]:
    """Says what of a config MMEngine cannot build by.

    Its registries answer an unknown type with a KeyError, and an argument
    that a class does not take, or wants and does not get, with Python's
    TypeError. Such an exception is told by where it was raised: where a config
    is turned into a call, or where a constructor hands arguments of the config
    on. Whatever else comes out of such a call is said with the values that it
    was given. An exception of what has been built passes: it is a defect.

    Raises:
        UserError: If nothing can be built; of a type or an argument the
            sentence names the nearest that exist.
    """
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        # What a rank meets that has lost another is nothing of the config's.
        if isinstance(error, RuntimeError) and get_world_size() > 1:
            raise
        sentence = _misspelt(error)
        if sentence is None:
            raise
        raise UserError(sentence) from error


#: Where MMEngine turns a part of a config into a call: what it calls, or the
#: variable that holds it, and the variable that holds the arguments.
_CALLS = {
    build_from_cfg.__code__: ('obj_cls', 'args'),
    build_scheduler_from_cfg.__code__: ('scheduler_cls', 'args'),
    build_runner_from_cfg.__code__: ('runner_cls', 'args'),
    Runner.build_dataloader.__code__: (DataLoader, 'dataloader_cfg'),
    Runner.build_train_loop.__code__: (EpochBasedTrainLoop, 'loop_cfg'),
    Runner.build_val_loop.__code__: (ValLoop, 'loop_cfg'),
    Runner.build_test_loop.__code__: (TestLoop, 'loop_cfg'),
}
#: Where values of the config are looked at later: which these are.
_LOOKS = {
    Runner.from_cfg.__func__.__code__: 'the config',
    Runner.__init__.__code__: 'the config',
    Runner.build_optim_wrapper.__code__: 'optim_wrapper',
    Runner.build_param_scheduler.__code__: 'param_scheduler',
    Runner.scale_lr.__code__: 'auto_scale_lr',
    Runner._init_model_weights.__code__: 'init_cfg of the model',
    OptimWrapper._clip_grad.__code__: 'optim_wrapper.clip_grad',
    CheckpointHook._save_best_checkpoint.__code__: 'CheckpointHook.save_best',
}


#: What a wrong value raises where it is used.
_OF_VALUES = (
    AssertionError,
    AttributeError,
    KeyError,
    TypeError,
    ValueError,
)


def _misspelt(error: Exception) -> Optional[str]:
    """Says what in a config is at fault, None when nothing of it is."""
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    if frames[-1].f_globals.get('__name__') == dataset_wrapper.__name__:
        return _wrong_wrapper(error, frames[-1].f_locals['self'])
    for frame in frames:
        # It goes on with what the registry found, be it nothing.
        if frame.f_code is DefaultOptimWrapperConstructor.__call__.__code__:
            if frame.f_locals.get('optimizer_cls', frame) is None:
                kind = frame.f_locals['optimizer_cfg']['type']
                return _unknown_type(kind, frame.f_locals['registry'])
    places = [
        i for i, f in enumerate(frames) if f.f_code in {*_CALLS, *_LOOKS}
    ]
    if not places:
        return None
    frame, deeper = frames[places[-1]], frames[places[-1] + 1 :]
    if frame.f_code in _LOOKS:
        # A hook that it calls, or the device, is nothing of the config's.
        if not isinstance(error, _OF_VALUES) or any(
            f.f_code is Runner.call_hook.__code__ for f in deeper
        ):
            return None
        return f'{_LOOKS[frame.f_code]}: cannot be used ({_said(error)}).'
    values = frame.f_locals
    if isinstance(error, KeyError) and not deeper:
        return _missing_key(error, values)
    called, arguments = _CALLS[frame.f_code]
    called = values.get(called) if isinstance(called, str) else called
    if called is EpochBasedTrainLoop and not values.get('by_epoch'):
        called = IterBasedTrainLoop
    name = getattr(called, '__name__', 'the config')
    known, given = _parameters(called), set(values.get(arguments, ()))
    message = str(error)
    found = re.search(r"unexpected keyword argument '(\w+)'", message)
    # One that it knows was handed to the wrong function by itself.
    if found and found[1] in given - known:
        return (
            f'{name} takes no argument {found[1]!r} '
            f'({nearest(found[1], known)}).'
        )
    found = re.search(r'missing \d+ required .*arguments?: (.+)', message)
    # Nor is it the user's mistake what it forgot to hand on.
    if found and known - given >= set(re.findall(r"'(\w+)'", found[1])):
        if all(
            inspect.isclass(called)
            and isinstance(f.f_locals.get('self'), called)
            for f in deeper
        ):
            return f'{name} wants {found[1]}, but the config gives none.'
    return (
        f'{name} cannot be built{_given(values.get(arguments, {}))} '
        f'({_said(error)}).'
    )


def _given(arguments: Dict[str, Any]) -> str:
    """Writes the arguments that are plain values."""
    shown = []
    for name, value in arguments.items():
        parts = value if isinstance(value, (list, tuple)) else [value]
        if all(isinstance(part, (str, int, float)) for part in parts):
            shown.append(f'{name}={value!r:.60}')
    return ' with ' + ', '.join(shown) if shown else ''


def _said(error: Exception) -> str:
    """Gives an exception in short: there will be no traceback."""
    last = traceback.extract_tb(error.__traceback__)[-1]
    message = textwrap.shorten(str(error) or last.line or '', 300)
    place = f'{Path(last.filename).name}:{last.lineno}'
    return f'{type(error).__name__} in {place}: {message}'


def _wrong_wrapper(error: Exception, wrapper: Any) -> str:
    """Says what a dataset around others does not take."""
    reason = str(error)
    datasets = getattr(wrapper, 'datasets', [])
    for other in datasets[1:]:
        names = [one.metainfo.get('classes') for one in (datasets[0], other)]
        if None not in names:
            places = 'the first dataset', 'another'
            reason = class_difference(*names, places) or reason
    return f'{type(wrapper).__name__}: {reason}.'


def _missing_key(error: KeyError, values: Dict[str, Any]) -> str:
    """Says which type is unknown, or what the config does not give."""
    kind = values.get('obj_type', values.get('scheduler_type'))
    registry = values.get('registry')
    if registry is None:
        return f'the config gives no {error.args[0]!r}, but it is wanted.'
    if kind is None:
        given = ', '.join(sorted(values.get('cfg', ())))
        return f'a {registry.name} of the config has no type ({given}).'
    return _unknown_type(kind, registry)


def _unknown_type(kind: str, registry: Registry) -> str:
    """Says which types of that kind there are."""
    what, known = registry.name, set(registry.module_dict)
    while registry.parent is not None:
        registry = registry.parent
        known |= registry.module_dict.keys()
    return (
        f'type={kind!r}: there is no such {what} '
        f'({nearest(kind.rsplit(".", 1)[-1], known)}).'
    )


def _parameters(called: Any) -> Set[str]:
    """Names of arguments; of base classes too, where they are handed on."""
    names: Set[str] = set()
    for owner in getattr(called, '__mro__', (called,)):
        takes = (
            vars(owner).get('__init__') if inspect.isclass(owner) else owner
        )
        if takes is None:
            continue
        try:
            parameters = inspect.signature(takes).parameters.values()
        # Some written in C have none.
        except (TypeError, ValueError):
            break
        names |= {p.name for p in parameters if p.kind in _NAMED}
        if all(p.kind is not p.VAR_KEYWORD for p in parameters):
            break
    return names - {'self'}
