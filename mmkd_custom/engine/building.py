"""What of a config nothing can be built from, told in one sentence."""

from __future__ import annotations

import inspect
import re
import sys
import textwrap
import traceback
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Callable, Iterator, Optional, Set, Tuple

from mmengine.config import Config
from mmengine.dist import get_world_size
from mmengine.registry import Registry
from mmengine.runner import (
    EpochBasedTrainLoop,
    IterBasedTrainLoop,
    Runner,
    TestLoop,
    ValLoop,
)
from torch.nn.utils import clip_grad_norm_
from torch.utils.data import DataLoader

from .. import registry as registries
from ..errors import UserError, nearest

LOADERS = ('train_dataloader', 'val_dataloader', 'test_dataloader')

#: What a runner takes of a config's top.
RUNNER = set(inspect.signature(Runner.__init__).parameters) - {'self', 'cfg'}
#: What else is read at a config's top: by the runner, by MMPretrain's tools
#: and by this project.
ALSO = {
    'activation_checkpointing',
    'bn_statistics',
    'compile',
    'custom_imports',
    'distill',
    'efficient_conv_bn_eval',
    'find_unused_parameters',
    'initial_weights',
    'model_wrapper_cfg',
    'quantize',
    'runner_type',
    'strategy',
    'sync_bn',
    'task',
    'tta_model',
    'tta_pipeline',
}

#: What the sections without a type become.
_UNTYPED = {
    'val_cfg': ValLoop,
    'test_cfg': TestLoop,
    'optim_wrapper.clip_grad': clip_grad_norm_,
    **{name: DataLoader for name in LOADERS},
}
_NAMED = (
    inspect.Parameter.POSITIONAL_OR_KEYWORD,
    inspect.Parameter.KEYWORD_ONLY,
)


@contextmanager
def naming_misspelt(
    config: dict, building: Callable[[], bool] = lambda: True
) -> Iterator[None]:
    """Names what of a config MMEngine cannot build by.

    Args:
        config (dict): What is built.
        building (Callable): Whether things are being built; once they run,
            only what the config itself explains is the user's mistake, and
            anything else a defect that passes. Defaults to True, always.

    Raises:
        UserError: If nothing can be built; of a type or an argument the
            sentence names the option and the nearest names that exist.
    """
    try:
        yield
    except UserError:
        raise
    except (AttributeError, KeyError, TypeError) as error:
        sentence = _misspelt(error, config)
        if sentence is None and not building():
            raise
        raise UserError(sentence or _unbuilt(error, config)) from error
    except Exception as error:
        # What a rank meets that has lost another is nothing of the config's.
        lost = isinstance(error, RuntimeError) and get_world_size() > 1
        if lost or not building():
            raise
        raise UserError(_unbuilt(error, config)) from error


def _unbuilt(error: Exception, config: dict) -> str:
    """Writes an exception in short: there will be no traceback.

    The part of the config is the one whose class lies in the innermost file.
    """
    frames = traceback.extract_tb(error.__traceback__)
    message = textwrap.shorten(str(error) or frames[-1].line or '', 300)
    said = (
        f'({type(error).__name__} in {Path(frames[-1].filename).name}:'
        f'{frames[-1].lineno}: {message})'
    )
    files = [frame.filename for frame in frames]
    what, best = 'config: cannot be built', -1
    for option, part, kind in parts_of(config):
        owner = inspect.isclass(kind) and sys.modules.get(kind.__module__)
        file = getattr(owner, '__file__', None)
        depth = len(files) - files[::-1].index(file) if file in files else -1
        if kind is not Runner and depth > best:
            values = ', '.join(
                f'{name}={value!r:.60}'
                for name, value in part.items()
                if name != 'type' and isinstance(value, (str, int, float))
            )
            what = f'{option}: {kind.__name__} cannot be built of {values}'
            best = depth
    return f'{what} {said}.'


def _misspelt(error: Exception, config: dict) -> Optional[str]:
    """Finds the option that explains an exception."""
    message = str(error.args[0]) if error.args else ''
    found = re.match(r'(\S+) is not in the .*?(\w[\w ]*) registry', message)
    if isinstance(error, KeyError) and found:
        for option, part in dicts_of(config):
            for key in ('type', 'constructor', 'runner_type'):
                if part.get(key) == found[1]:
                    return _unknown(f'{option}{key}', *found.groups())
    for option, part in dicts_of(config):
        # MMEngine goes on with what the registry does not know.
        kind = part.get('type')
        if option.endswith('optimizer.') and isinstance(kind, str):
            if _class(kind) is None:
                return _unknown(f'{option}type', kind, 'optimizer')
    found = re.search(r"unexpected keyword argument '(\w+)'", message)
    for option, part, kind in parts_of(config) if found else ():
        known = _parameters(kind)
        # A variable at the top is nobody's argument.
        if kind is not Runner and found[1] in {*part} - known:
            return (
                f'{option}.{found[1]}: {kind.__name__} takes no argument '
                f'{found[1]!r} ({nearest(found[1], known)}).'
            )
    found = re.match(
        r'(?:(\w+)\.)?__init__\(\) missing \d+ required .*?: (.+)', message
    )
    for option, part, kind in parts_of(config) if found else ():
        lacking = set(re.findall(r"'(\w+)'", found[2]))
        names = [owner.__name__ for owner in getattr(kind, '__mro__', ())]
        # Before Python 3.10 the message does not name the class.
        if found[1] in (None, *names):
            if lacking <= _parameters(kind) - {*part}:
                return f'{option}: {kind.__name__} expected {found[2]}.'
    return None


def _unknown(option: str, name: str, what: str) -> str:
    """Names the nearest types of a kind."""
    known: Set[str] = set()
    for one in vars(registries).values():
        while isinstance(one, Registry) and one.name == what:
            known |= one.module_dict.keys()
            one = one.parent
    return (
        f'{option}={name!r}: there is no such {what} '
        f'({nearest(name.rsplit(".", 1)[-1], known)}).'
    )


def dicts_of(node: Any, option: str = '') -> Iterator[Tuple[str, dict]]:
    """Finds each dict of a config that a runner reads.

    Args:
        node (Any): A config, or a part of one.
        option (str): Where the part is, with a dot. Defaults to ''.

    Yields:
        tuple[str, dict]: The option it is at, with a dot; the dict.
    """
    if isinstance(node, Config):
        # Else a variable, of which the file has made other options.
        top = node._cfg_dict.items()
        node = {k: v for k, v in top if k in RUNNER or k in ALSO}
    if isinstance(node, dict):
        yield option, node
    pairs = node.items() if isinstance(node, dict) else ()
    if isinstance(node, (list, tuple)):
        pairs = enumerate(node)
    for key, value in pairs:
        yield from dicts_of(value, f'{option}{key}.')


def parts_of(config: dict) -> Iterator[Tuple[str, dict, Callable]]:
    """Finds each part of a config that it is clear what is built of.

    Args:
        config (dict): A config, or a part of one.

    Yields:
        tuple[str, dict, Callable]: The option it is at, the part, the class.
    """
    by_epoch = (config.get('train_cfg') or {}).get('by_epoch', True)
    untyped = dict(
        _UNTYPED,
        train_cfg=EpochBasedTrainLoop if by_epoch else IterBasedTrainLoop,
    )
    if isinstance(config, Config):
        untyped[''] = Runner
    for option, part in dicts_of(config):
        option = option.rstrip('.')
        kind = part.get('type', untyped.get(option))
        kind = _class(kind) if isinstance(kind, str) else kind
        # A partial function, say, has no name to be told by.
        if callable(kind) and hasattr(kind, '__name__'):
            yield option, part, kind


def _class(name: str) -> Optional[Callable]:
    """Finds what any registry knows by a name."""
    for one in vars(registries).values():
        found = one.get(name) if isinstance(one, Registry) else None
        if found is not None:
            return found
    return None


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
