"""A bar on a terminal, and not a byte elsewhere."""

import os
import pty
import re
import subprocess
import sys
import threading
from contextlib import contextmanager

import pytest

from tests.cli import REPOSITORY, environment

HIDE, SHOW = '\x1b[?25l', '\x1b[?25h'
ERASE = '\x1b[2K'


@pytest.fixture
def terminal(monkeypatch):
    """A pseudo-terminal; gives a function that reads what was written."""
    for name in ('NO_COLOR', 'FORCE_COLOR', 'TTY_COMPATIBLE'):
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
        yield slave, chunks
        reader.join(120)
        os.close(master)

    return opened


def quiet(config):
    config.log_level = 'ERROR'


def test_a_terminal_is_drawn_on(small_runner, terminal, monkeypatch):
    runner = small_runner(edit=quiet)
    with terminal() as (slave, chunks):
        with os.fdopen(slave, 'w') as stream:
            with monkeypatch.context() as patch:
                patch.setattr(sys, 'stderr', stream)
                runner.train()
    text = b''.join(chunks).decode()
    assert 'epoch 2 distillation' in text
    assert '10/10' in text
    # It is taken away: the cursor is back.
    assert HIDE in text
    assert text.rindex(SHOW) > text.rindex(HIDE)


def test_log_lines_stand_above_the_bar(small_runner, terminal, monkeypatch):
    with terminal() as (slave, chunks):
        with os.fdopen(slave, 'w') as stream:
            with monkeypatch.context() as patch:
                for name in ('stdout', 'stderr'):
                    patch.setattr(sys, name, stream)
                small_runner().train()
    text = b''.join(chunks).decode()
    assert 'epoch 2 distillation' in text
    logged = [line for line in text.splitlines() if 'Epoch(train)' in line]
    assert len(logged) == 2
    for line in logged:
        # What stood there before was erased; colours do not matter.
        shown = re.sub(r'\x1b\[[\d;]*m', '', line.rpartition(ERASE)[2])
        assert re.match(r'\s*\d\d/\d\d \d\d:', shown), line


@pytest.mark.slow
def test_a_resumed_run_starts_where_it_left(
    small_runner, terminal, monkeypatch
):
    small_runner(epochs=2).train()
    runner = small_runner(epochs=4, resume='work/epoch_2.pth', edit=quiet)
    with terminal() as (slave, chunks):
        with os.fdopen(slave, 'w') as stream:
            with monkeypatch.context() as patch:
                patch.setattr(sys, 'stderr', stream)
                runner.train()
    text = b''.join(chunks).decode()
    assert '10/20' in text
    assert '20/20' in text
    assert '0/20' not in text.replace('10/20', '').replace('20/20', '')


def test_silent_when_stderr_is_no_terminal(
    small_runner, tmp_path, monkeypatch
):
    runner = small_runner(edit=quiet)
    path = tmp_path / 'stderr.txt'
    with open(path, 'w') as stream, monkeypatch.context() as patch:
        patch.setattr(sys, 'stderr', stream)
        runner.train()
    assert path.read_text() == ''


ABORTED = """
import logging
from types import SimpleNamespace
from mmkd_custom.engine import ProgressHook
runner = SimpleNamespace(max_iters=10, iter=0, logger=logging.getLogger())
ProgressHook().before_train(runner)
raise KeyboardInterrupt
"""


@pytest.mark.slow
def test_an_aborted_run_gives_the_cursor_back(terminal):
    with terminal() as (slave, chunks):
        process = subprocess.run(
            [sys.executable, '-c', ABORTED],
            cwd=REPOSITORY,
            env=environment(),
            stderr=slave,
            stdout=subprocess.DEVNULL,
            timeout=1000,
        )
        os.close(slave)
    text = b''.join(chunks).decode()
    assert process.returncode != 0
    assert HIDE in text
    assert text.rindex(SHOW) > text.rindex(HIDE)
