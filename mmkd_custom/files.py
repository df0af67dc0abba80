"""Files that are whole or not there, and checkpoints among them."""

from __future__ import annotations

import errno
import os
import re
import shutil
import tempfile
from pathlib import Path
from typing import Any, Dict, List, Mapping, Optional, Union

import torch
import torch.nn as nn
from mmengine.logging import print_log

from .errors import UserError

#: What a finished run leaves in its work directory.
RESULTS_FILE = 'results.json'
STUDENT_FILE = 'student.pth'

#: Key of MMEngine's message hub under which the checkpoints of a run keep what
#: tells it from other runs.
RUN_KEY = 'run'

_NUMBERED = re.compile(r'^(?:epoch|iter)_(\d+)\.pth$')
_ASIDE = '.replaced.'


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
    temporary = None
    try:
        handle, temporary = tempfile.mkstemp(
            dir=path.parent, prefix=f'.{path.name}.', suffix='.tmp'
        )
        with os.fdopen(handle, 'wb') as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        # mkstemp makes private files; these are meant to be shared.
        os.chmod(temporary, 0o666 & ~umask())
        os.replace(temporary, path)
    except OSError as error:
        # Not of what is beside it, nor of none, as on a full disk.
        error.filename, error.filename2 = str(path), None
        raise
    finally:
        if temporary is not None:
            Path(temporary).unlink(missing_ok=True)


def check_output(
    option: str, path: Union[str, Path], folder_made: bool = False
) -> None:
    """Tries whether a file can be written, before hours go into it.

    Args:
        option (str): That names the file, such as ``--out``.
        path (str | Path): The file; it is not touched.
        folder_made (bool): Whether its folder will be made if there is none.
            Defaults to False.

    Raises:
        UserError: If it is there and no file, or none can be made in its
            folder.
    """
    path = Path(path)
    folder = path.parent
    while folder_made and not folder.exists() and folder != folder.parent:
        folder = folder.parent
    try:
        # A device would be replaced by a file.
        if path.exists() and not path.is_file():
            raise OSError(errno.EEXIST, 'it is a folder or a device')
        with tempfile.NamedTemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise UserError(
            f'{option} {path}: a file in an existing folder that can be '
            f'written to is wanted ({error.strerror}).'
        ) from error


def umask() -> int:
    """Gives the permissions that files of this process are made without."""
    mask = os.umask(0)
    os.umask(mask)
    return mask


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
    weights = (
        content.get('state_dict', {}) if isinstance(content, dict) else {}
    )
    for part in (content, weights):
        if not isinstance(part, dict):
            raise UserError(
                f'checkpoint {path}: holds a {type(part).__name__}, but a '
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


def is_replaced(path: Union[str, Path]) -> bool:
    """Says whether a fresh run in the same folder takes the place of a file.

    Args:
        path (str | Path): A file of a work directory.

    Returns:
        bool: True for results, the student, numbered checkpoints and
        MMEngine's pointer to the last of them.
    """
    name = Path(path).name
    return bool(_NUMBERED.match(name)) or name in (
        RESULTS_FILE,
        STUDENT_FILE,
        'last_checkpoint',
    )


def set_aside(work_dir: Union[str, Path]) -> None:
    """Puts what an older run left out of the way of a fresh one.

    It goes to a hidden folder of the work directory, from where
    :func:`bring_back` returns it; :func:`drop_aside` deletes it. A run killed
    in between can no longer be mistaken for the older one.

    Args:
        work_dir (str | Path): An existing work directory.
    """
    work_dir = Path(work_dir)
    # Results first: a kill among these renames leaves a checkpoint, from
    # which the older run can make them again.
    old = sorted(
        filter(is_replaced, work_dir.iterdir()),
        key=lambda path: bool(_NUMBERED.match(path.name)),
    )
    if old:
        folder = tempfile.mkdtemp(dir=work_dir, prefix=_ASIDE)
        for path in old:
            os.replace(path, Path(folder) / path.name)


def is_aside(path: Union[str, Path]) -> bool:
    """Says whether a path is a folder that :func:`set_aside` made."""
    return Path(path).name.startswith(_ASIDE)


def bring_back(folder: Union[str, Path]) -> None:
    """Puts files back where :func:`set_aside` took them from.

    Args:
        folder (str | Path): The hidden folder; it is removed.
    """
    folder = Path(folder)
    for path in folder.iterdir():
        os.replace(path, folder.parent / path.name)
    folder.rmdir()


def drop_aside(work_dir: Union[str, Path]) -> None:
    """Deletes what fresh runs have set aside, that of killed ones too.

    Args:
        work_dir (str | Path): Work directory of the run.
    """
    for folder in filter(is_aside, Path(work_dir).iterdir()):
        shutil.rmtree(folder)


def run_of(checkpoint: Mapping[str, Any]) -> Dict[str, Any]:
    """Gives what a checkpoint says about the run that wrote it.

    Args:
        checkpoint (Mapping): Content of a checkpoint.

    Returns:
        dict: ``config``, ``seed``, ``task`` and ``split_sha256``, each None
        where it is not known; empty when the checkpoint does not tell.
    """
    info = checkpoint.get('message_hub', {}).get('runtime_info', {})
    return dict(info.get(RUN_KEY, {}))


def differing(
    found: Mapping[str, Any], wanted: Mapping[str, Any]
) -> Optional[str]:
    """Finds what tells two runs apart.

    Args:
        found (Mapping): From :func:`run_of`.
        wanted (Mapping): The same of another run.

    Returns:
        str | None: The first field in which they differ; None when they
        agree in all fields that both know.
    """
    for field, value in wanted.items():
        other = found.get(field)
        if None not in (value, other) and value != other:
            return field
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
