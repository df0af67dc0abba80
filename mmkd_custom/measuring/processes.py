"""Processes of their own to measure in, and the memory that one takes."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import threading
import warnings
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Dict, Iterator

import torch

from ..errors import UserError
from ..utils.memory import peak_mb


def own_process() -> ProcessPoolExecutor:
    """Starts one process, whose calls find what earlier ones left there.

    All of them are forked from one that has imported the libraries, which
    takes longest, and done nothing else; each imports them itself where
    processes cannot be forked.
    """
    if 'forkserver' in multiprocessing.get_all_start_methods():
        context = multiprocessing.get_context('forkserver')
        context.set_forkserver_preload([f'{__package__}.windows'])
    else:
        context = multiprocessing.get_context('spawn')
    return ProcessPoolExecutor(
        1, mp_context=context, initializer=_follow_parent
    )


def _follow_parent() -> None:
    """Ends this process with the one that started it, and with Ctrl-C."""

    def wait() -> None:
        multiprocessing.parent_process().join()
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()
    # Each process would show a traceback, and repeat every warning.
    signal.signal(signal.SIGINT, lambda *_: os._exit(130))
    warnings.simplefilter('ignore')


@contextlib.contextmanager
def naming_memory(what: str) -> Iterator[None]:
    """Turns the death of an :func:`own_process` into a UserError.

    Args:
        what (str): The option that takes the memory.
    """
    try:
        yield
    except (BrokenProcessPool, torch.OutOfMemoryError) as error:
        raise UserError(
            f'{what}: expected enough memory, got a process that was killed '
            'or ran out of it.'
        ) from error


def peak_memory() -> Dict[str, float]:
    """Returns what this process has taken of memory at the most.

    Returns:
        dict[str, float]: In 10^6 bytes, ``peak_mb``: the largest resident
        size, libraries included, other processes such as a loader's workers
        not; on a GPU also ``gpu_peak_mb``: what torch has reserved there.
    """
    peak = dict(peak_mb=peak_mb())
    if torch.cuda.is_available():
        # MMEngine's log resets the peak of what is allocated; what is
        # reserved stays so until someone empties the cache.
        peak['gpu_peak_mb'] = torch.cuda.memory_reserved() / 1e6
    return peak
