"""Submits the runs of a benchmark as Slurm jobs."""

from __future__ import annotations

import getpass
import hashlib
import os
import shutil
import subprocess
from typing import Callable, List, Sequence, Set

from ..errors import UserError
from .cells import Cell


def submit_cells(
    cells: Sequence[Cell],
    command: Callable[[Cell], List[str]],
    report: Callable[[str], None] = print,
) -> List[Cell]:
    """Submits what has neither finished nor is in the queue, and returns.

    A job's ``srun`` goes on by itself on this machine, writing the run's log.

    Args:
        cells (Sequence[Cell]): All of them.
        command (Callable): Returns the command that submits a cell; its job
            is to be called :func:`job_name`.
        report (Callable): Is told of every cell. Defaults to print.

    Returns:
        list[Cell]: Those that were submitted.

    Raises:
        UserError: If this machine has no Slurm, or it does not answer.
    """
    queued = _queue()
    submitted = []
    for cell in cells:
        if cell.results() is not None:
            continue
        if job_name(cell) in queued:
            report(f'{cell}: in the queue, or running')
            continue
        again = _last_line(cell)
        cell.work_dir.mkdir(parents=True, exist_ok=True)
        with open(cell.log, 'ab') as log:
            subprocess.Popen(
                command(cell),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=dict(os.environ, **dict(cell.variables)),
                # It outlives this process and its terminal.
                start_new_session=True,
            )
        submitted.append(cell)
        report(
            f'{cell}: submitted as {job_name(cell)}, log {cell.log}'
            + (f'; the last attempt ended with: {again}' if again else '')
        )
    return submitted


def job_name(cell: Cell) -> str:
    """Returns the name of a cell's job, alike in every call."""
    path = str(cell.work_dir.resolve())
    return f'mmkd_{hashlib.sha256(path.encode()).hexdigest()[:12]}'


def _queue() -> Set[str]:
    for program in ('srun', 'squeue'):
        if shutil.which(program) is None:
            raise UserError(
                f'--launcher slurm: expected {program} on this machine, got '
                'none; call it where Slurm jobs are submitted.'
            )
    done = subprocess.run(
        ['squeue', '--noheader', f'--user={getpass.getuser()}', '--format=%j'],
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise UserError(
            '--launcher slurm: expected an answer of squeue, got '
            f'{done.stderr.strip() or done.returncode}.'
        )
    return set(done.stdout.split())


def _last_line(cell: Cell) -> str:
    text = cell.log.read_text(errors='replace') if cell.log.is_file() else ''
    return (text.strip().splitlines() or [''])[-1]
