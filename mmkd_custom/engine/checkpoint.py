"""Checkpoints that a kill cannot spoil, and loading that hides nothing."""

from __future__ import annotations

import io
from collections import OrderedDict
from pathlib import Path
from typing import Any, Iterator, Set, Tuple, Union

import torch
import torch.nn as nn
from mmengine.fileio import LocalBackend, register_backend
from mmengine.hooks import Hook
from mmengine.logging import HistoryBuffer
from mmengine.model import BaseTTAModel
from mmengine.runner import Runner
from mmengine.runner.checkpoint import CheckpointLoader

from ..errors import UserError
from ..registry import HOOKS
from ..utils.files import load_checkpoint, mismatches, write_atomic
from ..utils.runs import RUN_KEY, differing, run_of
from .unwrap import ensure_hook, unwrapped

_SEQUENCES = (list, tuple)
_MAPPINGS = (dict, OrderedDict)


@register_backend('atomic')
class AtomicBackend(LocalBackend):
    """Local files that are either whole or not there.

    Used by ``CheckpointHook(backend_args=dict(backend='atomic'))``.
    """

    def put(self, obj: bytes, filepath: Union[str, Path]) -> None:
        """Writes bytes to a file in one step.

        Args:
            obj (bytes): The content.
            filepath (str | Path): The destination; its folder is made.
        """
        Path(filepath).parent.mkdir(parents=True, exist_ok=True)
        write_atomic(filepath, obj)


@CheckpointLoader.register_scheme(prefixes='', force=True)
def load_local(filename: str, map_location: Any = None) -> dict:
    """Loads a file for MMEngine, which does not look at checksums.

    As :func:`~mmkd_custom.utils.files.load_checkpoint`.
    """
    return load_checkpoint(Path(filename).expanduser(), map_location)


@HOOKS.register_module()
class StrictLoadHook(Hook):
    """Refuses a checkpoint whose keys or shapes differ from the model's.

    MMEngine loads with ``strict=False`` and only warns. Nor does it care
    whose checkpoint a run is resumed from: one that says it is of another run
    than :class:`~mmkd_custom.engine.ResultsHook` says this is, is refused.
    What is saved can be loaded again, which is checked before it is written.
    """

    # Before any hook, such as EMAHook, takes weights out of the checkpoint.
    priority = 'VERY_HIGH'

    def before_run(self, runner: Runner) -> None:
        """Has what is saved looked at, after all hooks that add to it."""
        ensure_hook(runner, StorableHook)

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Checks the checkpoint before it is copied into model and runner.

        Raises:
            UserError: If a run would be resumed from one of another run (the
                sentence names the field that differs), or the weights do not
                fit (the sentence names the keys).
        """
        if runner._resume:
            wanted = runner.message_hub.runtime_info.get(RUN_KEY, {})
            different = differing(run_of(checkpoint), wanted)
            if different is not None:
                raise UserError(
                    f'checkpoint {runner._load_from}: is of another run: '
                    f'{different}; choose another --work-dir, or give '
                    '--overwrite in place of --resume to start anew and '
                    'delete that run.'
                )
        model = unwrapped(runner)
        # As MMEngine does when it loads.
        model = model.module if isinstance(model, BaseTTAModel) else model
        problems = mismatches(model, checkpoint.get('state_dict', checkpoint))
        if problems:
            raise UserError(
                f'checkpoint {runner._load_from}: does not match '
                f'{type(model).__name__} ({"; ".join(problems)}).'
            )


class StorableHook(Hook):
    """Keeps out of a checkpoint what would keep it from being loaded."""

    priority = 'LOWEST'

    def __init__(self) -> None:
        self._told: Set[str] = set()

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Drops what a run goes on without.

        Raises:
            UserError: If anything else cannot be stored (the sentence names
                it).
        """
        for keys, value in list(unstorable(checkpoint)):
            name = '.'.join(map(str, keys))
            kind = f'{type(value).__module__}.{type(value).__qualname__}'
            if keys[:2] == ('meta', 'dataset_meta'):
                dropped = keys[:3]
            elif keys[0] == 'meta' and len(keys) > 1:
                dropped = keys[:2]
            elif keys[0] == 'message_hub' and len(keys) > 2:
                dropped = keys[:3]
            else:
                raise UserError(
                    f'checkpoint: expected tensors and plain values, got a '
                    f'{kind} at {name}, from which no run could be resumed.'
                )
            _drop(checkpoint, dropped)
            if keys[0] == 'message_hub':
                _drop(checkpoint, ('message_hub', 'resumed_keys', keys[2]))
            if name not in self._told:
                self._told.add(name)
                runner.logger.warning(
                    f'Checkpoints are stored without {name}, a {kind}: only '
                    'tensors and plain values can be loaded again.'
                )


def _drop(node: dict, keys: tuple) -> None:
    """Takes an entry out of copies: the objects go on being used."""
    for key in keys[:-1]:
        node[key] = dict(node[key])
        node = node[key]
    node.pop(keys[-1], None)


def unstorable(
    node: Any, where: Tuple[Any, ...] = ()
) -> Iterator[Tuple[Tuple[Any, ...], Any]]:
    """Finds what ``torch.load(weights_only=True)`` would refuse.

    Cheap: nothing of the tensors' content is looked at.

    Args:
        node (Any): A checkpoint, or a part of one.
        where (tuple): The keys that lead to it. Defaults to ().

    Yields:
        tuple[tuple, Any]: The keys that lead to an object, and the object.
    """
    if _reads_back(node):
        return
    if type(node) in _MAPPINGS:
        children = list(node.items())
    elif type(node) in _SEQUENCES:
        children = list(enumerate(node))
    else:
        yield where, node
        return
    found = False
    for key, value in children:
        for each in unstorable(value, (*where, key)):
            found = True
            yield each
    if not found:
        # A key of it.
        yield where, node


def _reads_back(node: Any) -> bool:
    buffer = io.BytesIO()
    # Whatever pickling somebody's object raises, it is not stored.
    try:
        torch.save(_light(node), buffer)
        buffer.seek(0)
        torch.load(buffer, weights_only=True)
    except Exception:
        return False
    return True


def _light(node: Any) -> Any:
    """Replaces what is known to be read back, and large, by little."""
    if type(node) in _MAPPINGS:
        return {key: _light(value) for key, value in node.items()}
    if type(node) in _SEQUENCES:
        return type(node)(_light(value) for value in node)
    known = type(node) in (torch.Tensor, nn.Parameter, HistoryBuffer)
    return None if known else node
