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
SHORT = {'train_dataloader.sampler.epoch_length': 5}


@pytest.fixture
def terminal(monkeypatch):
    """A pseudo-terminal, and the bytes that are written to it."""
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
        with os.fdopen(slave, 'w') as stream:
            yield stream, chunks
        reader.join(120)
        os.close(master)

    return opened


def test_bar_is_drawn_below_the_log_and_taken_away(
    small_runner, terminal, monkeypatch
):
    with terminal() as (stream, chunks):
        with monkeypatch.context() as patch:
            for name in ('stdout', 'stderr'):
                patch.setattr(sys, name, stream)
            small_runner(**SHORT).train()
    text = b''.join(chunks).decode()
    assert 'epoch 2 distillation' in text and '10/10' in text
    logged = [line for line in text.splitlines() if 'Epoch(train)' in line]
    assert len(logged) == 2
    for line in logged:
        # What stood there before was erased; colours do not matter.
        shown = re.sub(r'\x1b\[[\d;]*m', '', line.rpartition(ERASE)[2])
        assert re.match(r'\s*\d\d/\d\d \d\d:', shown), line
    # The cursor is back.
    assert HIDE in text
    assert text.rindex(SHOW) > text.rindex(HIDE)


def quiet(config):
    config.log_level = 'ERROR'


def test_resumed_run_starts_where_it_left_and_a_file_stays_empty(
    small_runner, terminal, tmp_path, monkeypatch
):
    runner = small_runner(edit=quiet, **SHORT)
    path = tmp_path / 'stderr.txt'
    with open(path, 'w') as stream, monkeypatch.context() as patch:
        patch.setattr(sys, 'stderr', stream)
        runner.train()
    assert path.read_text() == ''
    resume = dict(epochs=3, resume='work/epoch_2.pth', edit=quiet)
    runner = small_runner(**resume, **SHORT)
    with terminal() as (stream, chunks):
        with monkeypatch.context() as patch:
            patch.setattr(sys, 'stderr', stream)
            runner.train()
    text = b''.join(chunks).decode()
    assert '10/15' in text and '15/15' in text
    assert not re.search(r'\b0/15', text)


ABORTED = """
import logging
from types import SimpleNamespace
from mmkd_custom.engine import ProgressHook
runner = SimpleNamespace(max_iters=10, iter=0, logger=logging.getLogger())
ProgressHook().before_train(runner)
raise KeyboardInterrupt
"""


@pytest.mark.slow
def test_aborted_run_gives_the_cursor_back(terminal):
    with terminal() as (stream, chunks):
        process = subprocess.run(
            [sys.executable, '-c', ABORTED],
            cwd=REPOSITORY,
            env=environment(),
            stderr=stream,
            stdout=subprocess.DEVNULL,
            timeout=1000,
        )
    text = b''.join(chunks).decode()
    assert process.returncode != 0
    assert HIDE in text
    assert text.rindex(SHOW) > text.rindex(HIDE)
