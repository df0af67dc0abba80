"""A progress bar on a terminal, silence elsewhere."""

from __future__ import annotations

import atexit
import logging
import sys
from typing import List, Optional, Tuple

from mmengine.dist import is_main_process
from mmengine.hooks import Hook
from mmengine.runner import Runner
from rich.progress import Progress

from ...registry import HOOKS
from ...utils.progress import progress_bar


@HOOKS.register_module()
class ProgressHook(Hook):
    """Shows the iterations done and the time left of a training run."""

    priority = 'LOWEST'

    def __init__(self) -> None:
        self._progress: Optional[Progress] = None
        self._task = None
        self._streams: List[Tuple[logging.StreamHandler, object]] = []

    def before_train(self, runner: Runner) -> None:
        """Shows the bar, on the main process."""
        if is_main_process():
            self._progress = progress_bar()
            self._task = self._progress.add_task(
                'training', total=runner.max_iters, completed=runner.iter
            )
            terminal = sys.stdout
            # An aborted run never reaches after_run, and would leave the
            # terminal without a cursor.
            atexit.register(self._stop)
            self._progress.start()
            # The logger holds the terminal itself and would write into the
            # bar; what rich puts in its place writes above it.
            for handler in runner.logger.handlers:
                if getattr(handler, 'stream', None) is terminal:
                    self._streams.append((handler, handler.stream))
                    handler.setStream(sys.stdout)

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch=None, outputs=None
    ) -> None:
        """Moves it one iteration on."""
        if self._progress is not None:
            stage = runner.message_hub.runtime_info.get('stage', 'training')
            self._progress.update(
                self._task,
                completed=runner.iter + 1,
                description=f'epoch {runner.epoch + 1} {stage}',
            )

    def after_run(self, runner: Runner) -> None:
        """Takes it away."""
        if self._progress is not None:
            self._stop()
            atexit.unregister(self._stop)
            self._progress = None

    def _stop(self) -> None:
        for handler, stream in self._streams:
            handler.setStream(stream)
        self._streams.clear()
        self._progress.stop()
