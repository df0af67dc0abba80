"""All bars of the process on one terminal, below whatever is printed."""

from __future__ import annotations

import atexit
import logging
import multiprocessing
import os
import sys
import time
from contextlib import contextmanager
from typing import Any, Iterable, Iterator, List, Optional

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

#: Seconds between two drawings.
DRAW_EVERY = 0.2
#: Columns of a terminal that a bar takes.
_WIDTH = 24


def on_terminal() -> bool:
    """Whether bars are drawn, since stderr is a terminal that can."""
    return (
        sys.stderr is not None
        and sys.stderr.isatty()
        and os.environ.get('TERM') not in ('dumb', 'unknown')
    )


class Display:
    """All bars of the process, on one terminal."""

    def __init__(self) -> None:
        self.bars: List[Any] = []
        self._live: Optional[Live] = None
        self._drawn = 0.0
        self._silent = False

    @property
    def live(self) -> bool:
        """bool: Whether bars are drawn."""
        return self._live is not None

    @property
    def plain(self) -> bool:
        """bool: Whether lines are written."""
        return not self.live and not on_terminal() and self._speaks()

    @contextmanager
    def silenced(self) -> Iterator[None]:
        """Neither draws nor writes anything of the work inside."""
        before, self._silent = self._silent, True
        try:
            yield
        finally:
            self._silent = before

    def add(self, bar: Any) -> None:
        if self._silent:
            return
        self.bars.append(bar)
        if not self.live and on_terminal() and self._speaks():
            self._start()
        self.draw(now=True)

    def remove(self, bar: Any) -> None:
        if bar in self.bars:
            self.bars.remove(bar)
        if not self.bars:
            self.clear()
        self.draw(now=True)

    def draw(self, now: bool = False) -> None:
        if self._live is None:
            return
        if now or time.monotonic() - self._drawn >= DRAW_EVERY:
            self._live.refresh()
            self._drawn = time.monotonic()

    def clear(self) -> None:
        """Takes all away and gives the terminal back."""
        self.bars.clear()
        if self._live is not None:
            live, self._live = self._live, None
            proxies = sys.stdout, sys.stderr
            live.stop()
            _redirect_logs(proxies, (sys.stdout, sys.stderr))

    def forget(self) -> None:
        """In a process that was forked: the terminal is its parent's."""
        if self._live is not None:
            proxies = sys.stdout, sys.stderr
            sys.stdout, sys.stderr = self._streams
            _redirect_logs(proxies, self._streams)
            self._silent = True
        self.bars, self._live = [], None

    def _speaks(self) -> bool:
        """Whether this process is the one that shows how far work is."""
        if self._silent or multiprocessing.parent_process() is not None:
            return False
        group = sys.modules.get('torch.distributed')
        if group and group.is_available() and group.is_initialized():
            return group.get_rank() == 0
        return os.environ.get('RANK', '0') == '0'

    def _start(self) -> None:
        self._streams = sys.stdout, sys.stderr
        self._live = Live(
            console=Console(stderr=True),
            get_renderable=lambda: frame(self.bars),
            auto_refresh=False,
            transient=True,
            # What is written to a file stays there.
            redirect_stdout=sys.stdout.isatty(),
        )
        self._live.start()
        # Loggers hold the terminal itself and would write into the bars; what
        # rich puts in its place writes above them.
        _redirect_logs(self._streams, (sys.stdout, sys.stderr))


def frame(bars: Iterable[Any]) -> Group:
    """Returns what a terminal shows of some bars, for rich to draw."""
    table = Table.grid(padding=(0, 1))
    bars, notes = list(bars), []
    for bar in bars:
        # At least 1: nothing to do is done.
        total = None if bar.total is None else max(bar.total, 1)
        table.add_row(
            _text(bar.description, 'bold'),
            ProgressBar(
                total, bar.done if bar.total != 0 else 1, width=_WIDTH
            ),
            _text(bar.count, 'green'),
            _text(bar.rate, 'cyan'),
            _text(bar.left, 'magenta'),
        )
        if bar.note:
            # Which of several it belongs to.
            whose = f'{bar.description}: ' if len(bars) > 1 else ''
            notes.append(_text(f'{whose}{bar.note}'))
    return Group(table, *notes)


def _text(text: str, style: str = '') -> Text:
    return Text(text, style=style, no_wrap=True, overflow='ellipsis')


def _redirect_logs(old: Iterable[Any], new: Iterable[Any]) -> None:
    """Has handlers of all loggers write to other streams."""
    # MMEngine's loggers are not those that `logging` knows by name.
    handlers = [reference() for reference in logging._handlerList]
    for before, after in zip(old, new):
        for handler in handlers:
            if before is not after and (
                getattr(handler, 'stream', None) is before
            ):
                handler.setStream(after)


DISPLAY = Display()
# Not all code that begins a bar comes to its end.
atexit.register(DISPLAY.clear)
if hasattr(os, 'register_at_fork'):
    os.register_at_fork(after_in_child=DISPLAY.forget)
