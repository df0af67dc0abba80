"""Runs in processes of their own, which train when they are asked to."""

from __future__ import annotations

import contextlib
import multiprocessing
from typing import Any, Callable, Dict, Iterator

from mmengine.config import Config

from ..errors import UserError
from .runs import DONE, WRONG, answer, serve

#: Seconds between two looks whether a process is still there, and that one
#: gets to end.
POLL, GRACE = 0.5, 10.0


class Process:
    """A run in a process of its own, as seen from here.

    Args:
        name (str): What it is called in errors.
        config (Config): Of the run.
        answer (Callable): See
            :func:`~mmkd_custom.measuring.runs.serve`.

    Attributes:
        about (Any): What it says first.
    """

    def __init__(self, name: str, config: Config, answer: Callable) -> None:
        self.name = name
        context = multiprocessing.get_context('spawn')
        self.connection, other = context.Pipe()
        # No daemon: those may not have loader workers.
        self.process = context.Process(
            target=serve, args=(other, config, answer), name=name
        )
        self.process.start()
        # Held open here as well, it would hide that the process has ended.
        other.close()
        self.about: Dict[str, Any] = {}

    def ask(self, question: str) -> Any:
        """Has something done and waits for it.

        Args:
            question (str): What it knows to answer.

        Returns:
            Any: The answer.

        Raises:
            UserError: As :meth:`hear`.
            RuntimeError: Likewise.
        """
        try:
            self.connection.send(question)
        except BrokenPipeError:
            # What it said last is still to be read.
            pass
        return self.hear()

    def hear(self) -> Any:
        """Waits for a reply.

        Returns:
            Any: What it says.

        Raises:
            UserError: If the user's input is wrong or memory ran out.
            RuntimeError: If the process has failed otherwise.
        """
        # Its workers may outlive it and hold the pipe open: an end of file
        # alone does not tell.
        alive = True
        while not self.connection.poll(POLL):
            if not alive:
                self._died()
            alive = self.process.is_alive()
        try:
            kind, reply = self.connection.recv()
        except (EOFError, ConnectionResetError):
            self._died()
        if kind == DONE:
            return reply
        if kind == WRONG:
            raise UserError(reply)
        raise RuntimeError(f'{self.name}: its process failed.\n{reply}')

    def _died(self) -> None:
        self.process.join(GRACE)
        code = self.process.exitcode
        if code == -9:
            raise UserError(
                f'{self.name}: its process was killed, as a machine does that '
                'is out of memory; lower train_dataloader.batch_size and the '
                "counts of its sampler, or the teacher's max_batch."
            )
        raise RuntimeError(
            f'{self.name}: its process ended with exit code {code}.'
        )

    def end(self) -> None:
        """Lets it end, which it does when nobody asks any more."""
        self.connection.close()

    def wait(self) -> None:
        """Waits until it has ended, and not for ever."""
        self.process.join(GRACE)
        if self.process.is_alive():
            self.process.kill()
            self.process.join()


@contextlib.contextmanager
def processes(
    configs: Dict[str, Config], answer: Callable = answer
) -> Iterator[Dict[str, Process]]:
    """Has runs wait for questions for the length of a ``with`` block.

    Args:
        configs (dict[str, Config]): A config for each process, by any name.
        answer (Callable): See
            :func:`~mmkd_custom.measuring.runs.serve`.

    Yields:
        dict[str, Process]: What is asked there (``ask``) is answered; what it
        said first is its ``about``.

    Raises:
        UserError: If the user's input is wrong or memory ran out.
        RuntimeError: If a process has failed otherwise.
    """
    running: Dict[str, Process] = {}
    try:
        # Together: most of it is waiting for imports.
        for name, config in configs.items():
            running[name] = Process(name, config, answer)
        for each in running.values():
            each.about = each.hear()
        yield running
    finally:
        for each in running.values():
            each.end()
        for each in running.values():
            each.wait()
