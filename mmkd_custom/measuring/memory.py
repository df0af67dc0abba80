"""What this process has taken of memory at the most."""

from __future__ import annotations

import re
import resource
import sys
from pathlib import Path


def resident_peak_mb() -> float:
    """Gives the largest resident size of this process so far.

    Returns:
        float: 10^6 bytes, libraries included; other processes, such as the
        workers of a loader, are not.
    """
    # On Linux getrusage counts the peak of the process that started this one
    # too, which /proc does not.
    status = Path('/proc/self/status')
    if status.is_file():
        kilobytes = re.search(r'VmHWM:\s+(\d+) kB', status.read_text())
        if kilobytes:
            return int(kilobytes.group(1)) * 1024 / 1e6
    # The unit is a byte on macOS and 1024 of them elsewhere.
    unit = 1 if sys.platform == 'darwin' else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6
