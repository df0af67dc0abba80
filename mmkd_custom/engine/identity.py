"""What tells a run from others: its config, less paths and length."""

from __future__ import annotations

import hashlib
import json
import math
import os
from pathlib import PurePath
from typing import Any, Dict, Iterator, Mapping, Optional, Tuple, Union

from mmengine.config import Config

#: What of a config decides the course of a run, or what is measured of it.
COUNTED = (
    'model',
    'data_preprocessor',
    'train_dataloader',
    'val_dataloader.dataset',
    'val_evaluator',
    'train_cfg',
    'optim_wrapper',
    'param_scheduler',
    'auto_scale_lr',
    'randomness',
    'default_hooks',
    'custom_hooks',
    'default_scope',
    'runner_type',
)
#: What of these does not, wherever it stands: folders (the split's own digest
#: says which images there are), how data is loaded, and how long.
_UNCOUNTED = {
    *('data_root', 'cache_dir', 'work_dir'),
    *('num_workers', 'pin_memory', 'persistent_workers', 'prefetch_factor'),
    *('max_epochs', 'max_iters', 'val_interval', 'val_begin'),
    'dynamic_intervals',
}
#: Hooks that report and save.
_UNCOUNTED_HOOKS = {
    *('runtime_info', 'timer', 'logger', 'checkpoint', 'visualization'),
}
#: Files, which count by their name: a folder may be moved.
_FILES = {
    'ann_file',
    'list_file',
    'checkpoint',
    'probe',
    'adaptation',
    'file',
}
_DEFAULT_COLLATE = dict(type='default_collate')


def identity(
    config: Config,
    *,
    seed: Optional[int],
    task: Optional[str],
    split_sha256: Optional[str] = None,
    epoch_iters: Optional[int] = None,
) -> Dict[str, Any]:
    """Returns what tells a run from others, see :mod:`mmkd_custom.utils.runs`.

    Args:
        config (Config): As the runner has it, or as it was read.
        seed (int, optional): Its seed; None where it is not known.
        task (str, optional): Its task, likewise.
        split_sha256 (str, optional): Digest of its labelled samples,
            likewise. Defaults to None.
        epoch_iters (int, optional): Iterations of an epoch, likewise.
            Defaults to None.

    Returns:
        dict: All of these; ``config``, the name of its file; ``config_sha256``
        of its ``settings``, see :func:`settings_of`; the ``options`` that
        were given on the command line; ``max_epochs`` and ``max_iters``.
    """
    settings = settings_of(config)
    text = json.dumps(settings, sort_keys=True)
    length = config.get('train_cfg') or {}
    return dict(
        config=os.path.basename(config.filename) if config.filename else None,
        seed=seed,
        task=task,
        split_sha256=split_sha256,
        config_sha256=hashlib.sha256(text.encode()).hexdigest(),
        options=dict(config.get('cfg_options') or {}),
        epoch_iters=epoch_iters,
        max_epochs=length.get('max_epochs'),
        max_iters=length.get('max_iters'),
        settings=settings,
    )


def settings_of(config: Config) -> Dict[str, Any]:
    """Returns what of a config decides the course of a run.

    Args:
        config (Config): The config.

    Returns:
        dict[str, Any]: Dotted key to plain value, without what only says
        where files lie, how long the run is, how data is loaded and what is
        logged. Of weights and list files the name counts, not the folder.
    """
    given = config.to_dict()
    train_cfg = given.get('train_cfg') or {}
    length = train_cfg.get('max_epochs', train_cfg.get('max_iters'))
    settings: Dict[str, Any] = {}
    for name in COUNTED:
        node: Any = given
        for key in name.split('.'):
            node = (node or {}).get(key)
        if name == 'default_hooks':
            node = {
                key: hook
                for key, hook in (node or {}).items()
                if key not in _UNCOUNTED_HOOKS
            }
        if name == 'param_scheduler':
            node = _without_end(node, length)
        settings.update(_flat(node, (name,)))
    # A run that goes on has its own checkpoint there.
    start = None if given.get('resume') else given.get('load_from')
    start = given.get('initial_weights') or start
    if start:
        settings['load_from'] = _plain(str(start), 'checkpoint')
    return settings


def _without_end(node: Any, length: Any) -> Any:
    """Leaves out of schedulers that they end with the run."""
    if isinstance(node, (list, tuple)):
        return [_without_end(each, length) for each in node]
    if not isinstance(node, Mapping):
        return node
    if 'type' not in node:
        # One list for each of several optimisers.
        return {key: _without_end(each, length) for key, each in node.items()}
    begin = node.get('begin', 0)
    ends = dict(end=(length,), T_max=(length, (length or 0) - begin))
    return {
        key: value
        for key, value in node.items()
        if value not in ends.get(key, ())
    }


def _flat(
    node: Any, where: Tuple[str, ...]
) -> Iterator[Tuple[str, Union[None, bool, int, float, str, list]]]:
    if isinstance(node, Mapping):
        for key, value in node.items():
            if key in _UNCOUNTED or value == _DEFAULT_COLLATE:
                continue
            yield from _flat(value, (*where, str(key)))
    elif isinstance(node, (list, tuple)) and any(
        isinstance(each, (Mapping, list, tuple)) for each in node
    ):
        for number, value in enumerate(node):
            yield from _flat(value, (*where, str(number)))
    elif node is not None:
        yield '.'.join(where), _plain(node, where[-1])


def _plain(value: Any, key: str) -> Union[bool, int, float, str, list]:
    if isinstance(value, (list, tuple)):
        return [_plain(each, key) for each in value]
    if hasattr(value, 'tolist'):
        value = value.tolist()
    if isinstance(value, PurePath):
        value = str(value)
    if isinstance(value, str):
        is_file = os.path.isabs(value) or (
            key in _FILES and '://' not in value
        )
        return os.path.basename(value) if is_file else value
    if isinstance(value, float) and not math.isfinite(value):
        # JSON has no such numbers.
        return repr(value)
    if value is None or isinstance(value, (bool, int, float)):
        return value
    kind = value if hasattr(value, '__qualname__') else type(value)
    return f'{kind.__module__}.{kind.__qualname__}'
