"""Memory that a step frees and the next one asks for again."""

import ctypes
import sys

from mmengine.device import get_device

#: Numbers of <malloc.h>, and what they are set to: blocks up to the largest
#: size that glibc allows come from the heap, of which nothing is handed back.
_OPTIONS = {-3: 1 << 25, -1: 2**31 - 1, -2: 1 << 28}


def keep_freed_memory() -> bool:
    """Has the C library keep what is freed, for the life of the process.

    A training step on a CPU frees its activations and asks for as many again.
    glibc hands large blocks back to the system at once, which clears every
    page anew: a seventh of a step's time (docs/performance.md).

    Returns:
        bool: Whether it did; with an accelerator, or another C library than
        glibc, nothing is changed.
    """
    if get_device() != 'cpu' or not sys.platform.startswith('linux'):
        return False
    mallopt = getattr(ctypes.CDLL(None), 'mallopt', None)
    if mallopt is None:
        return False
    return all([mallopt(*option) for option in _OPTIONS.items()])
