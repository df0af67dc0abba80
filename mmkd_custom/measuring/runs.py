"""One way of training in a process of its own, timed window by window."""

from __future__ import annotations

import contextlib
import functools
import signal
import sys
import traceback
import warnings
from multiprocessing.connection import Connection
from typing import Any, Callable, Dict, List
from urllib.error import URLError

import torch
from mmengine.config import Config
from mmengine.device import get_device

from ..engine.config_data import config_scope
from ..engine.launch import build_runner
from ..engine.unwrap import unwrapped
from ..errors import UserError
from ..stages import CUSTOMIZATION
from .loop import WindowLoop
from .memory import resident_peak_mb

#: What a reply begins with.
DONE, WRONG, FAILED = 'done', 'wrong', 'failed'
#: Asks for figures of the whole process instead of a window.
PEAK = 'peak'


def answer(connection: Connection, loop: WindowLoop) -> None:
    """Answers until nobody asks any more.

    Sends ``(DONE, what the run is)``, and for each name of a stage that is
    received ``(DONE, window)``, for :data:`PEAK` ``(DONE, memory)``.

    Args:
        connection (Connection): To the process that asks.
        loop (WindowLoop): Prepared.

    Raises:
        EOFError: When nobody asks any more.
    """
    connection.send((DONE, _describe(loop)))
    asked = _count_questions(loop)
    while True:
        name = connection.recv()
        if name == PEAK:
            connection.send((DONE, dict(memory(), teacher_batches=asked[0])))
        else:
            connection.send((DONE, loop.window(name)))


def serve(
    connection: Connection,
    config: Config,
    answer: Callable[[Connection, Any], None] = answer,
) -> None:
    """Is the process: prepares a run, then answers until nobody asks.

    Sends ``(WRONG, sentence)`` for a mistake of the user and ``(FAILED,
    traceback)`` for any other, and ends.

    Args:
        connection (Connection): To the process that asks.
        config (Config): Of one mode, see
            :mod:`~mmkd_custom.measuring.modes`, or any whose
            training loop calls its ``drive`` when it is prepared.
        answer (Callable): Is called with the connection and the loop.
            Defaults to :func:`answer`.
    """
    # Ctrl-C reaches all processes of a terminal; the parent ends this one.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # Five processes would give each of them five times.
    warnings.simplefilter('ignore')
    try:
        # Whatever a library prints is none of the tool's results.
        with contextlib.redirect_stdout(sys.stderr), config_scope(config):
            runner = build_runner(config)
            runner.train_loop.drive = functools.partial(answer, connection)
            runner.train()
    except (BrokenPipeError, EOFError):
        # Nobody is there any more.
        pass
    except UserError as error:
        connection.send((WRONG, str(error)))
    except URLError as error:
        connection.send(
            (
                WRONG,
                f'weights cannot be downloaded ({error.reason}); train the '
                'config with tools/train.py, which says which and where to '
                'put them.',
            )
        )
    except Exception:
        connection.send((FAILED, traceback.format_exc()))


def _describe(loop: WindowLoop) -> Dict[str, Any]:
    """Says what is measured."""
    epochs = loop.first_epochs()
    item = loop.dataset[0]
    image = list(item['inputs'].shape[-2:])
    teacher = getattr(unwrapped(loop.runner), 'teacher', None)
    seen = image
    if teacher is not None and teacher.input_size is not None:
        seen = list(teacher.input_size)
    return dict(
        customizes=CUSTOMIZATION in epochs,
        images_sha256=loop.images_sha256(),
        dataset_images=len(loop.dataset),
        batch_size=loop.batch_size,
        image_size=image,
        teacher_input_size=seen,
        device=device_name(),
        threads=torch.get_num_threads(),
    )


def _count_questions(loop: WindowLoop) -> List[int]:
    """Counts from now on how often the teacher's own network is run."""
    count = [0]
    teacher = getattr(unwrapped(loop.runner), 'teacher', None)
    if teacher is not None:
        inner = getattr(teacher, 'teacher', teacher)

        def note(*_: Any) -> None:
            count[0] += 1

        inner.register_forward_pre_hook(note)
    return count


def memory() -> Dict[str, float]:
    """Gives what this process took at the most, in 10^6 bytes.

    Returns:
        dict[str, float]: ``peak_mb``, its largest resident size, libraries
        included and workers not; on a GPU ``gpu_peak_mb``, what was allocated
        there.
    """
    peak = dict(peak_mb=resident_peak_mb())
    if torch.cuda.is_available():
        peak['gpu_peak_mb'] = torch.cuda.max_memory_allocated() / 1e6
    return peak


def device_name() -> str:
    """Names the device that a run trains on.

    Returns:
        str: Such as 'cpu'.
    """
    if torch.cuda.is_available():
        return f'cuda ({torch.cuda.get_device_name()})'
    return get_device()
