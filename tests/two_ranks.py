"""A test case that runs in two gloo processes."""

import gc

import torch
import torch.distributed as dist
from mmengine.testing._internal import MultiProcessTestCase


class TwoRanks(MultiProcessTestCase):
    """Runs each test in two processes, which call :meth:`join_group`."""

    @property
    def world_size(self):
        return 2

    def setUp(self):
        super().setUp()
        self._spawn_processes()

    def _check_return_codes(self, elapsed_time):
        # MMEngine's skips the test when a process was aborted; here that is
        # a failure.
        self._check_no_test_errors(elapsed_time)
        assert [p.exitcode for p in self.processes] == [0, 0]

    def run_test(self, test_name, parent_pipe):
        # MMEngine calls the test's method alone: without its clean-ups. A
        # group that is still open when the process ends aborts it, now and
        # then.
        try:
            super().run_test(test_name, parent_pipe)
        finally:
            self.doCleanups()
            # A reducer in a cycle holds the group too.
            gc.collect()

    def join_group(self):
        """Makes this process one of the two ranks."""
        torch.set_num_threads(1)
        self.addCleanup(dist.destroy_process_group)
        dist.init_process_group(
            backend='gloo',
            rank=self.rank,
            world_size=self.world_size,
            store=dist.FileStore(self.file_name, self.world_size),
        )
