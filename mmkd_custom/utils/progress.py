"""How far long work is: bars on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import sys
import time
from contextlib import contextmanager
from typing import Iterable, Iterator, Optional, TypeVar

from .bars import DISPLAY

T = TypeVar('T')

#: Seconds between two lines.
LINE_EVERY = 10.0


class Bar:
    """Some work, and how much of it is done.

    Attributes, which :func:`progress` describes, may be set at any time; what
    is on the screen follows.

    Attributes:
        note (str): What else is known, such as a loss.
    """

    def __init__(
        self,
        description: str,
        total: Optional[int] = None,
        unit: str = '',
        done: int = 0,
        lines: bool = True,
    ) -> None:
        self.description, self.total, self.unit = description, total, unit
        self.done, self.lines, self.note = done, lines, ''
        self._first, self._start = done, time.monotonic()
        self._told = self._start

    def advance(self, count: int = 1) -> None:
        """Says that so much more is done."""
        self.done += count
        self.refresh()

    def track(self, items: Iterable[T]) -> Iterator[T]:
        """Yields items, each of which is done when the next is wanted."""
        for item in items:
            yield item
            self.advance()

    def refresh(self) -> None:
        """Shows what has changed, unless something was shown just now."""
        DISPLAY.draw()
        now = time.monotonic()
        if self.done != self.total and now - self._told >= LINE_EVERY:
            self._told = now
            self._say(self.left)

    def finish(self) -> None:
        """Says that it is over, where there is no terminal."""
        seconds = time.monotonic() - self._start
        self._say(f'took {_clock(seconds)}')

    def _say(self, end: str) -> None:
        if self.lines and DISPLAY.plain:
            parts = (self.count, self.rate, end, self.note)
            said = ', '.join(part for part in parts if part)
            said = f'{self.description}: {said}' if said else self.description
            print(said, file=sys.stderr, flush=True)

    @property
    def count(self) -> str:
        """str: Such as ``640/1312 images``; nothing of unknown work."""
        if self.total is None and not self.unit:
            return ''
        of = '' if self.total is None else f'/{self.total}'
        return f'{self.done}{of} {self.unit}'.strip()

    @property
    def speed(self) -> float:
        """float: How much a second, since the work began here."""
        seconds = max(time.monotonic() - self._start, 1e-3)
        return (self.done - self._first) / seconds

    @property
    def rate(self) -> str:
        """str: Such as ``42.1 images/s``; nothing of slow work."""
        if not self.unit or self.speed < 1:
            return ''
        digits = 0 if self.speed >= 100 else 1
        return f'{self.speed:.{digits}f} {self.unit}/s'

    @property
    def left(self) -> str:
        """str: Such as ``0:16 left``; nothing where it is not known."""
        if self.total is None or not self.speed:
            return ''
        return f'{_clock((self.total - self.done) / self.speed)} left'


@contextmanager
def progress(
    description: str,
    total: Optional[int] = None,
    unit: str = '',
    done: int = 0,
    lines: bool = True,
) -> Iterator[Bar]:
    """Shows how far the work inside the ``with`` block is.

    On a terminal as a bar, below those of the blocks around it; what is
    printed or logged meanwhile appears above. Where stderr is no terminal as
    a line every :data:`LINE_EVERY` seconds and one when it is over. Nothing
    by ranks other than 0, nor by processes that another one of Python has
    started. Bars are drawn by whoever says that something is done, so there
    is no thread that a fork could find at work.

    Args:
        description (str): What is done.
        total (int, optional): How much there is. Defaults to None, unknown.
        unit (str): What is counted, for the rate. Defaults to '', no rate.
        done (int): How much was done before. Defaults to 0.
        lines (bool): Whether there are lines where there is no terminal.
            Defaults to True.

    Yields:
        Bar: To be told what is done.
    """
    bar = Bar(description, total, unit, done, lines)
    DISPLAY.add(bar)
    try:
        yield bar
        bar.finish()
    finally:
        DISPLAY.remove(bar)


@contextmanager
def no_bar_left() -> Iterator[None]:
    """Takes all bars away in the end, whatever ends it.

    For work whose ``with`` blocks an exception does not leave, such as a
    runner's with its hooks.
    """
    try:
        yield
    finally:
        take_away()


def take_away() -> None:
    """Takes all bars away and gives the terminal back."""
    DISPLAY.clear()


def _clock(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f'{hours}:{minutes:02}:{seconds:02}'
    return f'{minutes}:{seconds:02}'
