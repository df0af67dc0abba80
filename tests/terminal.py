"""A pseudo-terminal, and what is written to it."""

import os
import pty
import re
import threading
from contextlib import contextmanager

import pytest

HIDE, SHOW = '\x1b[?25l', '\x1b[?25h'
#: Moves the terminal's cursor or takes away; colours stay with the text.
_PARTS = re.compile(r'(\x1b\[1A|\x1b\[2K|\x1b\[\?25[lh]|\r|\n)')


def plain(text):
    """What is left of a text without colours."""
    return re.sub(r'\x1b\[[\d;]*m', '', text)


def screen(text):
    """Returns the lines that stand on a terminal after all was written."""
    lines, at = [''], 0
    for part in _PARTS.split(text):
        if part == '\n':
            at += 1
            lines += [''] * (at + 1 - len(lines))
        elif part == '\x1b[1A':
            at -= 1
        elif part == '\x1b[2K':
            lines[at] = ''
        elif part == '\r' or part in (HIDE, SHOW):
            pass
        else:
            # Nothing is written over what stands there: that is torn.
            lines[at] += part
    return lines


def cursor_is_back(text):
    """Whether the cursor is shown if it was hidden."""
    return text.rfind(SHOW) >= text.rfind(HIDE)


@pytest.fixture
def terminal(monkeypatch):
    """Opens a pseudo-terminal; gives its stream and the bytes written."""
    for name in ('NO_COLOR', 'FORCE_COLOR', 'TTY_COMPATIBLE', 'RANK'):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv('TERM', 'xterm')
    monkeypatch.setenv('COLUMNS', '120')

    @contextmanager
    def opened():
        master, slave = pty.openpty()
        chunks = []

        def drain():
            while True:
                try:
                    chunk = os.read(master, 4096)
                except OSError:  # the other side is closed
                    return
                if not chunk:
                    return
                chunks.append(chunk)

        reader = threading.Thread(target=drain, daemon=True)
        reader.start()
        with os.fdopen(slave, 'w') as stream:
            yield stream, chunks
        reader.join(120)
        os.close(master)

    return opened
