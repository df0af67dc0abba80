"""Unpacking an archive: all of it or nothing, and only into its folder."""

from __future__ import annotations

import os
import shutil
import tarfile
import tempfile
import zipfile
from pathlib import Path, PurePosixPath
from typing import Any, Dict, List, Sequence

from ...errors import UserError
from ...utils.progress import progress
from ..images import RUBBISH
from .protocols import letters

SUFFIXES = ('.zip', '.tar', '.tar.gz', '.tgz')


def find_archives(root: Path, names: Sequence[str]) -> List[Path]:
    """Lists the archives in a folder, then those beside it that belong to it.

    Args:
        root (Path): The folder; it need not exist.
        names (Sequence[str]): An archive beside the folder belongs to it if
            its name begins with one of these; case and punctuation do not
            matter.
    """
    starts = tuple(map(letters, names))
    beside = _archives(root.absolute().parent)
    return _archives(root) + [
        path for path in beside if letters(path.name).startswith(starts)
    ]


def unpack(archive: Path, folder: Path) -> List[str]:
    """Unpacks an archive into a folder, all of it or nothing.

    Files are written to a temporary folder first, and none is overwritten.

    Args:
        archive (Path): A ``.zip``, ``.tar``, ``.tar.gz`` or ``.tgz``.
        folder (Path): Where to; made if it does not exist.

    Returns:
        list[str]: Names of what is new in the folder; empty if the folder
        holds all of them already.

    Raises:
        UserError: If the archive is damaged or truncated, holds a link or a
            path that leads outside, or something of it is in the way.
    """
    temporary = None
    try:
        folder.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(dir=folder, prefix='.unpacking.'))
        with _open(archive) as packed:
            members = _members(archive, packed)
            names = sorted({_top(archive, name) for name in members})
            names = [name for name in names if name not in RUBBISH]
            there = [name for name in names if (folder / name).exists()]
            if there and there == names:
                return []
            if there:
                raise UserError(
                    f'{archive}: expected nothing of it in {folder}, got '
                    f'{there[0]}, while other parts are missing; remove it '
                    'and unpack again.'
                )
            shown = progress(f'unpacking {archive.name}', len(members))
            with shown as bar:
                for name in bar.track(members):
                    if _top(archive, name) not in RUBBISH:
                        packed.extract(members[name], temporary)
        for name in names:
            os.rename(temporary / name, folder / name)
        return names
    except UserError:
        raise
    # Damaged archives raise nearly any exception.
    except Exception as error:
        raise UserError(
            f'{archive}: expected a whole archive, and room for it in '
            f'{folder}, got {type(error).__name__}: {error}; nothing of it '
            'was kept.'
        ) from error
    finally:
        if temporary is not None:
            shutil.rmtree(temporary, ignore_errors=True)


def _archives(folder: Path) -> List[Path]:
    if not folder.is_dir():
        return []
    return sorted(
        path
        for path in folder.iterdir()
        if path.name.lower().endswith(SUFFIXES)
        and not path.name.startswith('.')
        and path.is_file()
    )


def _open(archive: Path) -> Any:
    if archive.name.lower().endswith('.zip'):
        return zipfile.ZipFile(archive)
    packed = tarfile.open(archive)
    # Refuses devices and links that lead outside. A Python from before there
    # was such a filter unpacks no tar.
    packed.extraction_filter = tarfile.data_filter
    return packed


def _members(archive: Path, packed: Any) -> Dict[str, Any]:
    if isinstance(packed, zipfile.ZipFile):
        files = [one for one in packed.infolist() if not one.is_dir()]
        return {member.filename: member for member in files}
    files = [one for one in packed.getmembers() if not one.isdir()]
    # Only its very end, zeros, proves a tar to be whole; so does gzip's.
    end = b''
    while chunk := packed.fileobj.read(1 << 20):
        end = chunk
    if not end or end.strip(b'\0'):
        raise EOFError('unexpected end of data')
    return {member.name: member for member in files}


def _top(archive: Path, name: str) -> str:
    """Returns the first part of a member's name, if it stays inside."""
    path = PurePosixPath(name.replace('\\', '/'))
    if path.is_absolute() or '..' in path.parts or ':' in path.parts[0]:
        raise UserError(
            f'{archive}: expected paths below the folder only, got {name!r}; '
            'nothing of it was kept.'
        )
    return path.parts[0]
