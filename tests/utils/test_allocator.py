"""What a step frees is kept for the next one."""

import subprocess
import sys

import pytest
from mmengine.device import get_device

from tests.cli import environment

STEPS = """
import resource
import numpy
from mmkd_custom.utils.allocator import keep_freed_memory
if {keep} and not keep_freed_memory():
    raise SystemExit('not glibc')
def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
def step():
    numpy.ones((16, 1 << 20), numpy.uint8)
step()
before = faults()
for _ in range(10):
    step()
print(faults() - before)
"""


@pytest.mark.skipif(
    get_device() != 'cpu' or sys.platform != 'linux', reason='of glibc'
)
def test_pages_are_not_cleared_anew_in_every_step():
    counts = []
    for keep in (False, True):
        done = subprocess.run(
            [sys.executable, '-c', STEPS.format(keep=keep)],
            env=environment(),
            capture_output=True,
            text=True,
        )
        if 'not glibc' in done.stderr:
            pytest.skip('another C library')
        assert done.returncode == 0, done.stderr
        counts.append(int(done.stdout))
    assert counts[1] < counts[0] / 5
