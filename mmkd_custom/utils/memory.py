"""What this process takes of memory, without any library."""

from __future__ import annotations

import re
import resource
import sys
from pathlib import Path


def resident_mb() -> float:
    """Returns the resident size now, in 10^6 bytes; without /proc the peak."""
    return _status('VmRSS')


def peak_mb() -> float:
    """Returns the largest resident size so far, in 10^6 bytes."""
    return _status('VmHWM')


def _status(name: str) -> float:
    # On Linux getrusage counts the peak of the process that started this one
    # too, which /proc does not.
    status = Path('/proc/self/status')
    if status.is_file():
        found = re.search(rf'{name}:\s+(\d+) kB', status.read_text())
        return int(found.group(1)) * 1024 / 1e6
    size = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    # The unit is a byte on macOS and 1024 of them elsewhere.
    return size * (1 if sys.platform == 'darwin' else 1024) / 1e6
