"""Files that are whole or not there, and checkpoints among them."""

from __future__ import annotations

import errno
import os
import re
import tempfile
import zipfile
from pathlib import Path
from typing import Any, Dict, List, Optional, Union

import torch
import torch.nn as nn

from ..errors import UserError
from .compat import allow_training_state

# Checkpoints are read below.
allow_training_state()

#: What a finished run leaves in its work directory.
RESULTS_FILE = 'results.json'
STUDENT_FILE = 'student.pth'


class DamagedFile(UserError):
    """A file is cut short, or its bytes are not those that were written."""


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
            f'{option} {path}: expected a file in a folder that exists and '
            f'can be written to ({error.strerror}).'
        ) from error


def umask() -> int:
    """Returns the permissions that files of this process are made without."""
    mask = os.umask(0)
    os.umask(mask)
    return mask


def damage(path: Union[str, Path], records: bool = True) -> Optional[str]:
    """Compares a checkpoint's bytes with the checksums that it holds.

    torch writes a CRC-32 of every record and does not look at it again.

    Args:
        path (str | Path): A file that ``torch.save`` wrote.
        records (bool): Read all of it. Otherwise only its end is looked at,
            which tells one that was cut short. Defaults to True.

    Returns:
        str | None: What is wrong with it; None for a whole one, and for one
        of torch < 1.6, which has no checksums.

    Raises:
        OSError: If it cannot be read.
    """
    if not _is_archive(path):
        return None
    try:
        with zipfile.ZipFile(path) as archive:
            record = archive.testzip() if records else None
    except OSError:
        raise
    # A damaged header makes zipfile raise anything.
    except Exception as error:
        return f'{type(error).__name__}: {error}'
    return None if record is None else f'its record {record} is damaged'


def _is_archive(path: Union[str, Path]) -> bool:
    with open(path, 'rb') as file:
        return file.read(2) == b'PK'


def load_checkpoint(
    path: Union[str, Path], map_location: Any = 'cpu', whole: bool = True
) -> dict:
    """Loads a checkpoint with ``weights_only``.

    Args:
        path (str | Path): A file that ``torch.save`` wrote.
        map_location (Any): Where tensors go, as for ``torch.load``. Defaults
            to 'cpu'.
        whole (bool): Read all bytes and compare their checksums. Otherwise
            tensors are mapped and not read, which is for looking at what
            stands beside them. Defaults to True.

    Returns:
        dict: Its content.

    Raises:
        DamagedFile: If the file is cut short or has other bytes than were
            written.
        UserError: If it is missing, cannot be read or holds other objects.
    """
    path = Path(path)
    try:
        if not path.is_file():
            raise UserError(f'checkpoint {path}: there is no such file.')
        # What is none cannot be mapped.
        archive = _is_archive(path)
        wrong = damage(path, records=whole)
        try:
            if wrong is None:
                content = torch.load(
                    path,
                    map_location=map_location,
                    weights_only=True,
                    mmap=(archive and not whole) or None,
                )
        except OSError:
            raise
        except Exception as error:
            refused = re.search(r'GLOBAL (\S+)', str(error))
            wrong = damage(path)
            if wrong is None and (archive or refused):
                name = refused.group(1) if refused else str(error)[:120]
                raise UserError(
                    f'checkpoint {path}: expected tensors and plain values, '
                    f'got {name}, which is not executed.'
                ) from error
            wrong = wrong or f'{type(error).__name__}: {str(error)[:120]}'
    except OSError as error:
        raise UserError(
            f'checkpoint {path}: cannot be read ({error.strerror or error}).'
        ) from error
    if wrong is not None:
        raise DamagedFile(
            f'checkpoint {path}: not a complete checkpoint ({wrong}).'
        )
    weights = (
        content.get('state_dict', {}) if isinstance(content, dict) else {}
    )
    for part in (content, weights):
        if not isinstance(part, dict):
            raise UserError(
                f'checkpoint {path}: expected a dict, got a '
                f'{type(part).__name__}.'
            )
    return content


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
        f'{key}: expected shape {tuple(own[key].shape)}, got '
        f'{tuple(state_dict[key].shape)}'
        for key in sorted(own.keys() & state_dict.keys())
        if own[key].shape != state_dict[key].shape
    ][:3]
    return problems
