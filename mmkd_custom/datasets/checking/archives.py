"""Unpacking an archive without harm, whatever is in it."""

from __future__ import annotations

import lzma
import os
import shutil
import stat
import tarfile
import tempfile
import zipfile
import zlib
from pathlib import Path, PurePosixPath
from typing import IO, Iterator, List, Sequence, Tuple

from ...errors import UserError
from ...utils.progress import progress_bar
from ..images import RUBBISH
from .protocols import letters

SUFFIXES = ('.zip', '.tar', '.tar.gz', '.tgz')
#: An archive may unpack to so many times its size. Images hardly shrink; what
#: was made to fill disks shrinks a thousandfold.
MAX_RATIO = 100
#: Bytes that may be unpacked whatever the ratio, and that stay free.
_SMALL = _SPARED = 256 << 20

_DAMAGE = (
    OSError,
    EOFError,
    NotImplementedError,
    RuntimeError,
    # Such as a name with a null byte.
    ValueError,
    lzma.LZMAError,
    tarfile.TarError,
    zipfile.BadZipFile,
    zlib.error,
)


class _Present(Exception):
    """What the archive holds lies there already."""


class _Room:
    """How much of an archive may be unpacked."""

    def __init__(self, archive: Path, folder: Path) -> None:
        size = archive.stat().st_size
        free = max(0, shutil.disk_usage(folder).free - _SPARED)
        ratio = max(_SMALL, MAX_RATIO * size)
        self.left = min(free, ratio)
        self.why = (
            f'{free / 1e9:.2f} GB of the disk of {folder} can be filled'
            if free < ratio
            else f'{self.left / 1e9:.2f} GB are the most that {size} bytes '
            'are trusted to hold'
        )
        self.archive = archive
        # Before anything is written, where the size is told.
        if archive.name.lower().endswith('.zip'):
            with zipfile.ZipFile(archive) as packed:
                size = sum(info.file_size for info in packed.infolist())
        self.take(size)
        self.left += size

    def take(self, size: int) -> None:
        self.left -= size
        if self.left < 0:
            raise UserError(
                f'{self.archive}: is too large to be unpacked, but '
                f'{self.why}; nothing of it was kept.'
            )


def find_archives(root: Path, names: Sequence[str]) -> List[Path]:
    """Lists the archives in a folder, and those beside it that belong to it.

    Args:
        root (Path): The folder; it need not exist.
        names (Sequence[str]): An archive beside the folder belongs to it if
            its name begins with one of these; case and punctuation do not
            matter.

    Returns:
        list[Path]: Archives, sorted; those in the folder first.
    """
    starts = tuple(map(letters, names))
    beside = [
        path
        for path in _archives(root.absolute().parent)
        if letters(path.name).startswith(starts)
    ]
    return _archives(root) + beside


def unpack(archive: Path, folder: Path) -> List[str]:
    """Unpacks an archive into a folder, all of it or nothing.

    Files are written to a temporary folder first. No file is written outside
    it, none is overwritten, and links are refused.

    Args:
        archive (Path): A ``.zip``, ``.tar``, ``.tar.gz`` or ``.tgz``.
        folder (Path): Where to; made if it does not exist.

    Returns:
        list[str]: Names of what is new in the folder; empty if the folder
        holds the first thing of the archive already.

    Raises:
        UserError: If the archive is damaged or truncated, holds a link or a
            path that leads outside, would fill the disk or is more than
            :data:`MAX_RATIO` times its size, or something of it is in the
            way.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(dir=folder, prefix='.unpacking.'))
    except OSError as error:
        raise UserError(
            f'{folder}: a folder to unpack {archive} into is wanted, but it '
            f'cannot be written to ({error}).'
        ) from error
    try:
        room = _Room(archive, folder)
        with progress_bar() as bar:
            members = bar.track(
                _members(archive), total=None, description=archive.name
            )
            for name, stream in members:
                parts = _inside(archive, name)
                if parts[0] in RUBBISH:
                    continue
                if (folder / parts[0]).exists():
                    raise _Present(parts[0])
                target = temporary.joinpath(*parts)
                target.parent.mkdir(parents=True, exist_ok=True)
                with open(target, 'wb') as file:
                    while chunk := stream.read(1 << 20):
                        room.take(len(chunk))
                        file.write(chunk)
        names = sorted(os.listdir(temporary))
        for name in names:
            os.rename(temporary / name, folder / name)
        return names
    except _Present as present:
        if os.listdir(temporary):
            raise UserError(
                f'{archive}: {folder / str(present)} exists already, but '
                'other parts of the archive do not; remove it and unpack '
                'again.'
            ) from None
        return []
    except _DAMAGE as error:
        raise UserError(
            f'{archive}: cannot be unpacked, it may be truncated or damaged '
            f'({type(error).__name__}: {error}); nothing of it was kept.'
        ) from error
    finally:
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


def _members(archive: Path) -> Iterator[Tuple[str, IO[bytes]]]:
    """Gives name and content of every file, and refuses anything else."""
    if archive.name.lower().endswith('.zip'):
        with zipfile.ZipFile(archive) as packed:
            for info in packed.infolist():
                # What the entry would be on the system that packed it.
                if stat.S_ISLNK(info.external_attr >> 16):
                    raise _no_file(archive, info.filename)
                if not info.is_dir():
                    with packed.open(info) as stream:
                        yield info.filename, stream
        return
    if archive.name.lower().endswith('.tar'):
        _check_tar_end(archive)
    with tarfile.open(archive, 'r:*') as packed:
        for member in packed:
            if member.isdir():
                continue
            stream = packed.extractfile(member) if member.isreg() else None
            if stream is None:
                raise _no_file(archive, member.name)
            with stream:
                yield member.name, stream
        # What is compressed proves to be whole at its very end only.
        while packed.fileobj.read(1 << 20):
            pass


def _no_file(archive: Path, name: str) -> UserError:
    return UserError(
        f'{archive}: {name!r} is a link or a device, but only files and '
        'folders are unpacked.'
    )


def _check_tar_end(archive: Path) -> None:
    # tarfile takes a tar that is cut off between two files for a whole one,
    # but every tar ends in blocks of zeros.
    with open(archive, 'rb') as file:
        file.seek(-min(512, archive.stat().st_size), os.SEEK_END)
        end = file.read()
    if len(end) < 512 or end.strip(b'\0'):
        raise tarfile.ReadError('unexpected end of data')


def _inside(archive: Path, name: str) -> Tuple[str, ...]:
    """Splits a member's name, if it stays inside the folder."""
    path = PurePosixPath(name)
    if (
        path.is_absolute()
        or '..' in path.parts
        or not path.parts
        or '\\' in name
        or ':' in path.parts[0]
    ):
        raise UserError(
            f'{archive}: {name!r} would be unpacked outside the folder, but '
            'only relative paths below it are wanted; nothing was kept.'
        )
    return path.parts
