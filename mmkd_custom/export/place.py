"""Where an export is put: whole or not at all, and over nothing else."""

from __future__ import annotations

import os
import shutil
import tempfile
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Iterator, Set

from ..errors import UserError
from ..registry import SCOPE
from ..utils.files import RESULTS_FILE, STUDENT_FILE
from .files import INT8, ONNX, UINT8
from .metadata import METADATA, read_metadata
from .runtimes import RUNTIMES

CONFIG_FILE, SAFETENSORS_FILE = 'config.py', 'student.safetensors'
#: All that an export can write.
NAMES = {
    *(METADATA, STUDENT_FILE, SAFETENSORS_FILE, CONFIG_FILE, ONNX, INT8),
    *UINT8.values(),
    *(p.name for r in RUNTIMES.values() for p in r.files(Path(r.file))),
}
#: What a training leaves, finished or not.
_OF_RUN = (RESULTS_FILE, 'last_checkpoint')


def check_place(out: Path, work_dir: Path) -> None:
    """Refuses a folder in which an export would replace something else.

    Args:
        out (Path): The folder; need not be there.
        work_dir (Path): Of the run.

    Raises:
        UserError: If it is a work directory, or has a file that an export
            could write and no older export wrote.
    """
    if out.resolve() == work_dir.resolve() or any(
        (out / name).exists() for name in _OF_RUN
    ):
        raise UserError(
            f'--out {out}: expected a folder of its own, got a work directory.'
        )
    others = NAMES - _written(out)
    found = sorted(n for n in others if os.path.lexists(out / n))
    if found:
        raise UserError(
            f'--out {out}: expected a new folder or that of an older export, '
            f'got a {found[0]} that no export there tells of.'
        )


@contextmanager
def put_in(out: Path) -> Iterator[Path]:
    """Gives a folder to write to; at the end its files move in.

    Until then an older export stays as it is, and afterwards nothing of it is
    left.

    Args:
        out (Path): As :func:`check_place` passed it.

    Yields:
        Path: An empty folder in it.

    Raises:
        UserError: If there can be no such.
    """
    new = not out.exists()
    try:
        out.mkdir(parents=True, exist_ok=True)
        # In it, not beside it: the same disk, and it may be written to.
        made = Path(tempfile.mkdtemp(prefix='.export-', dir=out))
    except OSError as error:
        raise UserError(
            f'--out {out}: expected a folder, got {error.strerror}.'
        ) from error
    try:
        yield made
        names = {file.name for file in made.iterdir()}
        for name in _written(out) - names:
            (out / name).unlink(missing_ok=True)
        # Until all have moved the older one tells whose they are.
        for name in sorted(names, key=lambda name: name == METADATA):
            os.replace(made / name, out / name)
    finally:
        shutil.rmtree(made, ignore_errors=True)
        if new:
            with suppress(OSError):
                out.rmdir()


def _written(out: Path) -> Set[str]:
    """Names what an older export wrote there."""
    try:
        about = read_metadata(out)
    except (OSError, UserError):
        # Of somebody else.
        return set()
    source, files = about.get('source'), about.get('files')
    if not isinstance(source, dict) or source.get('package') != SCOPE:
        return set()
    return NAMES & {METADATA, *(files if isinstance(files, dict) else ())}
