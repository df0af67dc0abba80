"""Shows how far a run is: stage, loss, metric, images a second, time left."""

from __future__ import annotations

import time
from contextlib import ExitStack
from typing import Any, Dict, Optional

from mmengine.hooks import Hook
from mmengine.runner import Runner

from ...evaluation.report import LABELS, shown_metrics
from ...registry import HOOKS
from ...utils.progress import Bar, progress
from ..console import quieten

#: Iterations over which the loss that is shown is a mean.
SMOOTHED = 10


@HOOKS.register_module()
class ProgressHook(Hook):
    """A bar for the training on a terminal, and one for each evaluation.

    Its time left is that of the whole run, from the mean of all iterations
    and evaluations so far. Elsewhere MMEngine's log tells the same. On a
    terminal the log's lines of single iterations go to its file alone, see
    :func:`~mmkd_custom.engine.console.quieten`.

    Args:
        lines (bool): Whether to tell it in lines where there is no terminal,
            for a run whose log goes to a file alone. Defaults to False.
    """

    priority = 'LOWEST'

    def __init__(self, lines: bool = False) -> None:
        self.lines = lines
        self._bars, self._inner = ExitStack(), ExitStack()
        self._bar: Optional[Bar] = None
        self._test: Optional[Bar] = None
        self._metric = ''
        self._images, self._since = 0, 0.0

    def before_run(self, runner: Runner) -> None:
        """Has the log leave room for the bars."""
        quieten(runner.logger)

    def before_train(self, runner: Runner) -> None:
        """Shows the bar."""
        self._bar = self._bars.enter_context(
            progress(
                'training',
                runner.max_iters,
                done=runner.iter,
                lines=self.lines,
            )
        )

    def before_train_epoch(self, runner: Runner) -> None:
        """Begins to count the images of this epoch."""
        self._images, self._since = 0, time.monotonic()

    def after_train_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: Optional[Any] = None,
        outputs: Optional[Dict[str, Any]] = None,
    ) -> None:
        """Moves it one iteration on."""
        if self._bar is None:
            return
        try:
            self._images += len(data_batch['data_samples'])
        except (KeyError, TypeError):  # a batch of another form
            pass
        stage = runner.message_hub.runtime_info.get('stage', 'training')
        epochs = runner.max_epochs or 1
        where = f'epoch {runner.epoch + 1}/{epochs} ' if epochs > 1 else ''
        self._bar.description = f'{where}{stage}'
        self._bar.note = self._note(runner)
        self._bar.advance()

    def _note(self, runner: Runner) -> str:
        said = []
        scalars = runner.message_hub.log_scalars
        if 'train/loss' in scalars:
            said.append(f'loss {scalars["train/loss"].mean(SMOOTHED):.3f}')
        seconds = time.monotonic() - self._since
        if self._images and self._since and seconds:
            said.append(f'{self._images / seconds:.0f} images/s')
        return ' · '.join([*said, self._metric] if self._metric else said)

    def after_train(self, runner: Runner) -> None:
        """Takes it away."""
        self._bars.close()
        self._bar = None

    def after_val_epoch(
        self, runner: Runner, metrics: Optional[Dict[str, float]] = None
    ) -> None:
        """Remembers the metric that comes first."""
        self._inner.close()
        for name in shown_metrics(metrics or {})[:1]:
            label = LABELS.get(name, name)
            self._metric = (
                f'{label} {metrics[name]:.1f} after epoch {runner.epoch}'
            )

    def before_val_epoch(self, runner: Runner) -> None:
        """Shows a bar for the evaluation."""
        self._evaluate(runner.val_dataloader)

    def before_test_epoch(self, runner: Runner) -> None:
        """Shows a bar for the test."""
        self._evaluate(runner.test_dataloader)

    def _evaluate(self, loader: Any) -> None:
        total = len(loader) if hasattr(loader, '__len__') else None
        self._test = self._inner.enter_context(
            progress('evaluation', total, lines=False)
        )

    def after_val_iter(self, runner: Runner, *_: Any, **__: Any) -> None:
        """Moves the evaluation's bar one batch on."""
        if self._test is not None:
            self._test.advance()

    after_test_iter = after_val_iter

    def after_test_epoch(self, runner: Runner, *_: Any, **__: Any) -> None:
        """Takes the test's bar away."""
        self._inner.close()
