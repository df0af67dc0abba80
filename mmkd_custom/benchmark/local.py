"""Trains the runs of a benchmark, each in a process of its own."""

from __future__ import annotations

import functools
import os
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor, as_completed
from queue import SimpleQueue
from typing import Callable, Dict, List, Optional, Sequence

import torch

from ..errors import EXIT_USER_ERROR, UserError
from ..utils.progress import progress
from .cells import Cell

#: Prints a line that is there at once, in a file too.
say = functools.partial(print, flush=True)


def visible_devices(count: int) -> List[str]:
    """Returns the accelerators over which processes are spread.

    Args:
        count (int): How many torch sees.

    Returns:
        list[str]: A value of CUDA_VISIBLE_DEVICES for each; empty for fewer
        than two, which leave no choice.
    """
    if count < 2:
        return []
    given = os.environ.get('CUDA_VISIBLE_DEVICES')
    names = given.split(',') if given else map(str, range(count))
    return list(names)[:count]


def threads_each(jobs: int) -> Dict[str, str]:
    """Returns variables that share the CPU cores among processes.

    Each would start as many threads as there are cores, and all together
    take longer than one after the other.

    Args:
        jobs (int): Processes at once.

    Returns:
        dict[str, str]: Of the environment; none for one process.
    """
    if jobs < 2:
        return {}
    # As many as each would start, for want of another word.
    threads = torch.get_num_threads() // jobs
    return dict(OMP_NUM_THREADS=str(max(1, threads)))


def run_cells(
    cells: Sequence[Cell],
    command: Callable[[Cell], List[str]],
    jobs: int = 1,
    devices: Sequence[str] = (),
    report: Callable[[str], None] = say,
    finished: Callable[[Cell], None] = lambda cell: None,
) -> Dict[Cell, str]:
    """Trains what has not finished, several at once.

    Whatever ends this, an interruption too, ends the processes. Of several at
    once each gets its share of the CPU cores, unless OMP_NUM_THREADS says how
    many threads it takes.

    Args:
        cells (Sequence[Cell]): All of them; finished ones are kept.
        command (Callable): Returns the command that trains a cell.
        jobs (int): Processes at once. Defaults to 1.
        devices (Sequence[str]): Values of CUDA_VISIBLE_DEVICES: processes
            that run at once are spread over them. Defaults to (), which
            leaves it as it is.
        report (Callable): Is told of every cell. Defaults to :func:`say`.
        finished (Callable): Is called with every cell that has been trained,
            one at a time. Defaults to nothing.

    Returns:
        dict[Cell, str]: Those that failed, with the last line of their log.

    Raises:
        UserError: If a run ends because the user's input is wrong: its
            sentence.
    """
    waiting = [cell for cell in cells if cell.results() is None]
    if len(waiting) < len(cells):
        done = len(cells) - len(waiting)
        report(f'{done} of {len(cells)} runs had finished already')
    free: SimpleQueue = SimpleQueue()
    for slot in range(jobs):
        free.put(devices[slot % len(devices)] if devices else None)
    running: List[subprocess.Popen] = []
    threads = threads_each(jobs)
    failed: Dict[Cell, str] = {}

    def train(cell: Cell) -> Optional[str]:
        device = free.get()
        try:
            env = {**threads, **os.environ, **dict(cell.variables)}
            if device is not None:
                env['CUDA_VISIBLE_DEVICES'] = device
            return _train(cell, command(cell), env, running)
        finally:
            free.put(device)

    shown = progress('benchmark', len(waiting), 'cells')
    with ThreadPoolExecutor(jobs) as pool, shown as bar:
        futures = {pool.submit(train, cell): cell for cell in waiting}
        try:
            for future in bar.track(as_completed(futures)):
                cell, reason = futures[future], future.result()
                if reason is None:
                    finished(cell)
                else:
                    failed[cell] = reason
                said = 'done' if reason is None else f'failed ({reason})'
                report(f'{cell}: {said}, log {cell.log}')
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            # Again and again: one may be starting at this moment.
            while not all(future.done() for future in futures):
                for process in running:
                    process.terminate()
                time.sleep(0.1)
            raise
    return failed


def _train(
    cell: Cell,
    command: List[str],
    env: Dict[str, str],
    running: List[subprocess.Popen],
) -> Optional[str]:
    """Trains a cell; returns the last line of its log if that failed."""
    cell.work_dir.mkdir(parents=True, exist_ok=True)
    with open(cell.log, 'ab') as log:
        # What earlier attempts wrote is none of this one's.
        start = log.tell()
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env=env,
        )
        running.append(process)
        code = process.wait()
    if code == 0 and cell.results() is not None:
        return None
    text = cell.log.read_bytes()[start:].decode(errors='replace')
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if code == EXIT_USER_ERROR:
        said = [line for line in lines if 'error: ' in line] or lines
        sentence = said[-1] if said else f'see {cell.log}'
        raise UserError(f'{cell}: {sentence.split("error: ", 1)[-1]}')
    if code == 0:
        return 'it ended without results.json'
    return lines[-1] if lines else f'exit code {code}'
