"""Where MMEngine's log goes while the console is the tool's."""

from __future__ import annotations

import contextlib
import io
import sys
import warnings
from pathlib import Path
from typing import Iterator, Optional, TextIO


class Log(io.TextIOBase):
    """Takes what is printed: kept at first, then written to a file.

    MMEngine's loggers hold what was stdout when they were made, for the life
    of the process, so it goes on afterwards: to stdout.
    """

    def __init__(self) -> None:
        self._early: Optional[io.StringIO] = io.StringIO()
        self._file: Optional[TextIO] = None

    def write(self, text: str) -> int:
        """Writes to wherever it goes by now."""
        return (self._file or self._early or sys.stdout).write(text)

    def flush(self) -> None:
        """Flushes the same."""
        (self._file or self._early or sys.stdout).flush()

    def isatty(self) -> bool:
        """Whether it is a terminal, which it is not."""
        return False

    def open(self, path: Path) -> None:
        """Goes on in a file, which begins with what was kept.

        Args:
            path (Path): A new file in an existing folder.
        """
        self._file = path.open('w', encoding='utf-8', buffering=1)
        self._file.write(self._early.getvalue())

    def end(self) -> None:
        """Goes on to stdout."""
        if self._file is not None:
            self._file.close()
        self._file = self._early = None


@contextlib.contextmanager
def logging_apart() -> Iterator[Log]:
    """Sends what is printed to a :class:`Log` in place of stdout."""
    log = Log()
    with contextlib.redirect_stdout(log):
        try:
            yield log
        finally:
            log.end()


@contextlib.contextmanager
def warnings_in(log: Log) -> Iterator[None]:
    """Sends warnings, of libraries for the most part, there too."""
    with warnings.catch_warnings():
        warnings.showwarning = lambda *told, **_: log.write(
            warnings.formatwarning(*told[:4])
        )
        yield
