"""Checkpoints that a kill cannot spoil, and loading that hides nothing."""

from __future__ import annotations

import os
import re
import tempfile
from pathlib import Path
from typing import Dict, List, Optional, Union

import torch
import torch.nn as nn
from mmengine.fileio import LocalBackend, register_backend
from mmengine.hooks import Hook
from mmengine.logging import print_log
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner

from ..errors import UserError
from ..registry import HOOKS

_EPOCH = re.compile(r'^(?:epoch|iter)_(\d+)\.pth$')


@register_backend('atomic')
class AtomicBackend(LocalBackend):
    """Local files that are either whole or not there.

    A file is written beside its destination, flushed to disk and renamed over
    it, so a process killed at any instant leaves the old file or the new one.
    Used by ``CheckpointHook(backend_args=dict(backend='atomic'))``.
    """

    def put(self, obj: bytes, filepath: Union[str, Path]) -> None:
        """Writes bytes to a file in one step.

        Args:
            obj (bytes): The content.
            filepath (str | Path): The destination.
        """
        path = Path(filepath)
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(
            dir=path.parent, prefix=f'.{path.name}.', suffix='.tmp'
        )
        try:
            with os.fdopen(handle, 'wb') as file:
                file.write(obj)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise


def load(path: Union[str, Path]) -> dict:
    """Loads a checkpoint on the CPU with ``weights_only``.

    Raises:
        UserError: If the file is missing, damaged or holds other objects.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(f'checkpoint {path}: there is no such file.')
    try:
        return torch.load(path, map_location='cpu', weights_only=True)
    except Exception as error:
        raise UserError(
            f'checkpoint {path}: not a complete checkpoint '
            f'({type(error).__name__}: {str(error)[:120]}).'
        ) from error


def latest_checkpoint(work_dir: Union[str, Path]) -> Optional[Path]:
    """Finds the newest complete checkpoint of a run.

    MMEngine's ``last_checkpoint`` file is not consulted: a kill can leave it
    empty or pointing to a file that is gone. Every candidate is opened, newest
    first, and a damaged one is passed over with a log line.

    Args:
        work_dir (str | Path): Work directory of the run.

    Returns:
        Path | None: The file, or None when there is no complete one.
    """
    numbered: Dict[int, Path] = {}
    for path in Path(work_dir).glob('*.pth'):
        match = _EPOCH.match(path.name)
        if match:
            numbered[int(match.group(1))] = path
    for number in sorted(numbered, reverse=True):
        try:
            load(numbered[number])
        except UserError as error:
            print_log(f'{error} Falling back to an older one.', 'current')
            continue
        return numbered[number]
    return None


def mismatches(
    model: nn.Module, state_dict: Dict[str, torch.Tensor]
) -> List[str]:
    """Lists what keeps a state dict from fitting a model exactly.

    Args:
        model (nn.Module): The model.
        state_dict (dict[str, Tensor]): The weights.

    Returns:
        list[str]: Empty when all keys and shapes agree.
    """
    own = model.state_dict()
    problems = []
    for verb, keys in (
        ('missing', own.keys() - state_dict.keys()),
        ('unexpected', state_dict.keys() - own.keys()),
    ):
        if keys:
            shown = ', '.join(sorted(keys)[:3])
            more = f' and {len(keys) - 3} more' if len(keys) > 3 else ''
            problems.append(f'{verb} {shown}{more}')
    problems += [
        f'{key} has shape {tuple(state_dict[key].shape)}, wanted '
        f'{tuple(own[key].shape)}'
        for key in sorted(own.keys() & state_dict.keys())
        if own[key].shape != state_dict[key].shape
    ][:3]
    return problems


@HOOKS.register_module()
class StrictLoadHook(Hook):
    """Refuses a checkpoint whose keys or shapes differ from the model's.

    MMEngine loads with ``strict=False`` and only warns. A plain student's
    checkpoint is accepted by a distiller for testing.
    """

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Checks the weights before they are copied into the model.

        Raises:
            UserError: If they do not fit; the sentence names the keys.
        """
        model = runner.model
        model = model.module if is_model_wrapper(model) else model
        weights = checkpoint.get('state_dict', checkpoint)
        student = getattr(model, 'student', None)
        if student is not None and not any(
            key.startswith('student.') for key in weights
        ):
            model, prefix = student, 'student.'
        else:
            prefix = ''
        problems = mismatches(model, weights)
        if problems:
            raise UserError(
                f'checkpoint {runner._load_from}: does not match '
                f'{type(model).__name__} ({"; ".join(problems)}).'
            )
        if prefix:
            checkpoint['state_dict'] = {
                prefix + key: value for key, value in weights.items()
            }
