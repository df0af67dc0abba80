"""Ctrl-C at any point of a tool: one line and exit code 130."""

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.cli import command, environment, train_arguments
from tests.helpers import make_domains

pytestmark = pytest.mark.skipif(
    not Path('/proc').is_dir(), reason='no /proc to look into'
)


def interrupt(condition, tool, *arguments, **variables):
    """Interrupts a tool and its children as a terminal does.

    Returns (exit code, stderr).
    """
    process = subprocess.Popen(
        command(tool, *arguments),
        env=environment(**variables),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        # A shell that starts pytest in the background has SIGINT ignored.
        preexec_fn=lambda: signal.signal(
            signal.SIGINT, signal.default_int_handler
        ),
    )
    try:
        deadline = time.monotonic() + 600
        while not condition(process) and process.poll() is None:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        os.killpg(process.pid, signal.SIGINT)
        return process.wait(600), process.stderr.read()
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)


def imports_torch(process):
    maps = Path(f'/proc/{process.pid}/maps')
    return 'libtorch' in maps.read_text()


def test_while_libraries_are_imported():
    code, stderr = interrupt(imports_torch, 'train.py', 'config.py')
    assert (code, stderr) == (130, 'interrupted\n')


@pytest.mark.slow
def test_training_with_workers(tmp_path):
    root = make_domains(tmp_path / 'data')
    work_dir = tmp_path / 'work'

    def reached(_):
        logs = work_dir.glob('*/*.log')
        return any('Epoch 3/' in path.read_text() for path in logs)

    code, stderr = interrupt(
        reached,
        'train.py',
        *train_arguments(work_dir, 100),
        DATA_ROOT=str(root),
        SOURCE='art',
        TARGET='photo',
        SEED='0',
    )
    assert code == 130
    assert stderr.splitlines()[-1] == 'interrupted'
    assert 'Traceback' not in stderr
