"""Files that are whole or not there, and checkpoints among them."""

from __future__ import annotations

import os
import re
import tempfile
from pathlib import Path
from typing import Dict, List, Optional, Union

import torch
import torch.nn as nn
from mmengine.logging import print_log

from .errors import UserError

#: What a finished run leaves in its work directory.
RESULTS_FILE = 'results.json'
STUDENT_FILE = 'student.pth'

_NUMBERED = re.compile(r'^(?:epoch|iter)_(\d+)\.pth$')


def write_atomic(path: Union[str, Path], content: bytes) -> None:
    """Writes a file in one step.

    It is written beside its destination, flushed to disk and renamed over
    it: a process killed at any instant leaves the old file or the new one.

    Args:
        path (str | Path): The destination, in an existing folder.
        content (bytes): What it shall hold.

    Raises:
        OSError: If it cannot be written; the destination is as it was.
    """
    path = Path(path)
    handle, temporary = tempfile.mkstemp(
        dir=path.parent, prefix=f'.{path.name}.', suffix='.tmp'
    )
    try:
        with os.fdopen(handle, 'wb') as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        # mkstemp makes private files; these are meant to be shared.
        mask = os.umask(0)
        os.umask(mask)
        os.chmod(temporary, 0o666 & ~mask)
        os.replace(temporary, path)
    finally:
        Path(temporary).unlink(missing_ok=True)


def load_checkpoint(path: Union[str, Path]) -> dict:
    """Loads a checkpoint on the CPU with ``weights_only``.

    Args:
        path (str | Path): A file that ``torch.save`` wrote.

    Returns:
        dict: Its content.

    Raises:
        UserError: If the file is missing, damaged or holds other objects.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(f'checkpoint {path}: there is no such file.')
    try:
        content = torch.load(path, map_location='cpu', weights_only=True)
    except Exception as error:
        raise UserError(
            f'checkpoint {path}: not a complete checkpoint '
            f'({type(error).__name__}: {str(error)[:120]}).'
        ) from error
    if not isinstance(content, dict):
        raise UserError(
            f'checkpoint {path}: holds a {type(content).__name__}, but a '
            'dict is wanted.'
        )
    return content


def latest_checkpoint(work_dir: Union[str, Path]) -> Optional[Path]:
    """Finds the newest complete checkpoint of a run.

    MMEngine's ``last_checkpoint`` file is not consulted: a kill can leave it
    empty or pointing to a file that is gone. Candidates are opened, the last
    written first, and a damaged one is passed over with a log line.

    Args:
        work_dir (str | Path): Work directory of the run.

    Returns:
        Path | None: The file, or None when there is no complete one.
    """
    candidates = []
    for path in Path(work_dir).glob('*.pth'):
        match = _NUMBERED.match(path.name)
        if match:
            # By time: a folder may hold the higher epochs of an older run.
            key = (path.stat().st_mtime_ns, int(match.group(1)))
            candidates.append((key, path))
    for _, path in sorted(candidates, reverse=True):
        try:
            load_checkpoint(path)
        except UserError as error:
            print_log(f'{error} Falling back to an older one.', 'current')
            continue
        return path
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
