"""Runs the tools, as a user does in processes of their own, or here."""

from __future__ import annotations

import contextlib
import os
import random
import runpy
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Callable, Optional, Sequence
from unittest import mock

from tests.helpers import forget_instances

REPOSITORY = Path(__file__).resolve().parents[1]

#: The shipped domain-folder config, made small enough for a test: a tiny
#: teacher of random weights, batches of 4 + 4, two workers.
TINY = (
    'model.teacher.teacher.model_name=test_efficientnet',
    'model.teacher.teacher.checkpoint=None',
    'train_dataloader.batch_size=8',
    'train_dataloader.sampler.labelled=4',
    'train_dataloader.sampler.unlabelled=4',
    'val_dataloader.num_workers=0',
    'val_dataloader.persistent_workers=False',
)


def environment(**variables: str) -> dict:
    """This environment with the repository on the path, one thread."""
    env = dict(os.environ, OMP_NUM_THREADS='1', **variables)
    env['PYTHONPATH'] = os.pathsep.join(
        filter(None, [str(REPOSITORY), env.get('PYTHONPATH')])
    )
    return env


def free_port() -> int:
    """Finds a port to listen on, outside the range that systems give out."""
    rng = random.Random(os.getpid())
    while True:
        port = rng.randrange(20000, 32000)
        with socket.socket() as sock:
            try:
                sock.bind(('127.0.0.1', port))
            except OSError:
                continue
        return port


def command(tool: str, *arguments: object) -> list:
    """Returns the command line of a tool."""
    return [sys.executable, str(REPOSITORY / 'tools' / tool)] + [
        str(argument) for argument in arguments
    ]


def run_tool(
    tool: str,
    *arguments: object,
    cwd: Optional[Path] = None,
    timeout: float = 1000,
    **variables: str,
) -> subprocess.CompletedProcess:
    """Runs a tool to its end.

    Returns:
        CompletedProcess: With text output, stderr apart.
    """
    return subprocess.run(
        command(tool, *arguments),
        cwd=cwd or REPOSITORY,
        env=environment(**variables),
        capture_output=True,
        text=True,
        timeout=timeout,
    )


def call_tool(tool: str, *arguments: object) -> int:
    """Runs a tool in this process, which takes a tenth of the time.

    Returns:
        int: Its exit code.
    """
    # Runners made within one second share their name.
    forget_instances()
    path = str(REPOSITORY / 'tools' / tool)
    with mock.patch.object(sys, 'argv', [path, *map(str, arguments)]):
        try:
            runpy.run_path(path, run_name='__main__')
        except SystemExit as left:
            return left.code or 0
    return 0


def kill_when(
    condition: Callable[[], bool],
    delay: float,
    tool: str,
    *arguments: object,
    **variables: str,
) -> bool:
    """Starts a tool and sends SIGKILL some time after a condition holds.

    Returns:
        bool: Whether it was still running.
    """
    process = subprocess.Popen(
        command(tool, *arguments),
        env=environment(**variables),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        deadline = time.monotonic() + 600
        while not condition() and process.poll() is None:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        time.sleep(delay)
    finally:
        running = process.poll() is None
        # Its workers too.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    return running


def train_arguments(
    work_dir: Path,
    epochs: int = 4,
    config: str = 'customkd_mbv3_domain_folder.py',
    options: Sequence[str] = TINY,
    extra: Sequence[str] = (),
) -> list:
    """Arguments of a tiny training run of a shipped config."""
    return [
        REPOSITORY / 'configs' / config,
        '--work-dir',
        work_dir,
        *extra,
        '--cfg-options',
        f'train_cfg.max_epochs={epochs}',
        *options,
    ]
