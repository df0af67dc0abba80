"""Trains the runs of a benchmark, each in a process of its own."""

from __future__ import annotations

import fcntl
import functools
import os
import signal
import subprocess
import time
from contextlib import contextmanager
from typing import IO, Callable, Dict, Iterator, List, Optional, Sequence

from ..errors import EXIT_USER_ERROR, UserError
from ..utils.progress import progress_bar
from .cells import Cell

#: Seconds between two looks at the processes, and that one gets to end.
POLL = 0.1
GRACE = 10.0

#: What ends this process unless asked not to, as a closed terminal does.
ENDING = (signal.SIGTERM, signal.SIGHUP)


#: Prints a line that is there at once, in a file too.
say = functools.partial(print, flush=True)


def visible_devices(count: int) -> List[str]:
    """Gives the accelerators over which processes are spread.

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


def run_cells(
    cells: Sequence[Cell],
    command: Callable[[Cell], List[str]],
    jobs: int = 1,
    devices: Sequence[str] = (),
    report: Callable[[str], None] = say,
) -> Dict[Cell, str]:
    """Trains what has not finished, several at once.

    Whatever ends this, an interruption or a closed terminal too, ends the
    processes.

    Args:
        cells (Sequence[Cell]): All of them; finished ones are kept.
        command (Callable): Gives the command that trains a cell.
        jobs (int): Processes at once. Defaults to 1.
        devices (Sequence[str]): Values of CUDA_VISIBLE_DEVICES: processes
            that run at once are spread over them. Defaults to (), which
            leaves it as it is.
        report (Callable): Is told of every cell. Defaults to :func:`say`.

    Returns:
        dict[Cell, str]: Those that failed, with the last line of their log.

    Raises:
        UserError: If a run ends because the user's input is wrong: its
            sentence; or if another process is at it.
    """
    finished = [cell for cell in cells if cell.results() is not None]
    if finished:
        report(f'{len(finished)} of {len(cells)} runs had finished already')
    waiting = [cell for cell in cells if cell not in finished]
    free = list(range(jobs))
    running: List[_Child] = []
    failed: Dict[Cell, str] = {}
    # A second signal, while processes end, must not leave any behind either.
    with progress_bar() as bar, _interruptible(), _ending(running):
        total = bar.add_task('runs', total=len(cells), completed=len(finished))
        while waiting or running:
            while waiting and free:
                slot = free.pop(0)
                device = devices[slot % len(devices)] if devices else None
                cell = waiting.pop(0)
                running.append(_Child(cell, command(cell), slot, device))
            time.sleep(POLL)
            for child in [c for c in running if c.process.poll() is not None]:
                running.remove(child)
                # A killed one may have left others behind.
                child.signal(signal.SIGKILL)
                free.append(child.slot)
                reason = child.failure()
                if reason is not None:
                    failed[child.cell] = reason
                said = 'done' if reason is None else f'failed ({reason})'
                report(f'{child.cell}: {said}, log {child.cell.log}')
                bar.advance(total)
    return failed


class _Child:
    """A process that trains a cell, in a group of its own."""

    def __init__(
        self, cell: Cell, command: List[str], slot: int, device: Optional[str]
    ) -> None:
        self.cell, self.slot = cell, slot
        cell.work_dir.mkdir(parents=True, exist_ok=True)
        env = dict(os.environ, **dict(cell.variables))
        if device is not None:
            env['CUDA_VISIBLE_DEVICES'] = device
        with open(self.cell.log, 'ab') as log:
            _claim(log, cell)
            # What earlier attempts wrote is none of this one's.
            self._start = log.tell()
            self.process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=env,
                # Its DataLoader workers are ended with it.
                start_new_session=True,
            )

    def failure(self) -> Optional[str]:
        """Gives the last line of the log, None if the run has finished."""
        code = self.process.returncode
        if code == 0 and self.cell.results() is not None:
            return None
        lines = self._lines()
        if code == EXIT_USER_ERROR:
            said = [line for line in lines if 'error: ' in line] or lines
            sentence = said[-1] if said else f'see {self.cell.log}'
            raise UserError(f'{self.cell}: {sentence.split("error: ", 1)[-1]}')
        if code == 0:
            return 'it ended without results.json'
        return lines[-1] if lines else f'exit code {code}'

    def _lines(self) -> List[str]:
        with open(self.cell.log, 'rb') as log:
            log.seek(self._start)
            text = log.read().decode(errors='replace')
        return [line.strip() for line in text.splitlines() if line.strip()]

    def signal(self, number: int) -> None:
        """Sends a signal to the process and those that it started."""
        try:
            os.killpg(self.process.pid, number)
        except ProcessLookupError:
            pass


@contextmanager
def _ending(children: List[_Child]) -> Iterator[None]:
    """Ends the processes that are left at the end of a ``with`` block."""
    try:
        yield
    finally:
        # A second interruption may come at any point of it.
        try:
            for child in children:
                child.signal(signal.SIGTERM)
            deadline = time.monotonic() + GRACE
            for child in children:
                try:
                    child.process.wait(max(deadline - time.monotonic(), 0))
                except subprocess.TimeoutExpired:
                    pass
        finally:
            for child in children:
                # Workers may outlive the process that started them.
                child.signal(signal.SIGKILL)
                child.process.wait()


@contextmanager
def _interruptible() -> Iterator[None]:
    """Makes of :data:`ENDING` what Ctrl-C is."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    before = {number: signal.getsignal(number) for number in ENDING}
    for number, handler in before.items():
        # nohup has SIGHUP ignored, and means it.
        if handler is not signal.SIG_IGN:
            signal.signal(number, interrupt)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _claim(log: IO[bytes], cell: Cell) -> None:
    """Locks the log for the process that inherits it, as long as it lives.

    Raises:
        UserError: If one of another call holds it.
    """
    try:
        fcntl.flock(log, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise UserError(
            f'{cell}: another process is training in {cell.work_dir}; wait '
            'for it, end it, or give another --work-dir.'
        ) from error
    except OSError:
        # Some network file systems know no locks.
        pass
