"""Leaves ``results.json`` and ``student.pth`` at the end of a run."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Dict, Optional

from mmengine.dist import master_only
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner

from ...evaluation import summarize, versions, write_json
from ...export.student import save_student, student_state_dict
from ...files import RESULTS_FILE, STUDENT_FILE
from ...registry import HOOKS

_HISTORY = 'evaluation_history'
_SECONDS = 'train_seconds'


@HOOKS.register_module()
class ResultsHook(Hook):
    """Collects every evaluation and writes the run's results.

    The history and the seconds spent travel in the checkpoints (MMEngine's
    message hub), so a resumed run reports all of its epochs and all of its
    time.

    Args:
        task (str, optional): Name of the task, such as ``Art->Clipart``.
            Defaults to None, which takes the config's ``task``.
    """

    # After EMAHook's swap (NORMAL) and before CheckpointHook (VERY_LOW), so a
    # checkpoint holds the seconds spent up to it.
    priority = 'LOW'

    def __init__(self, task: Optional[str] = None) -> None:
        self.task = task
        self._since = 0.0

    def before_run(self, runner: Runner) -> None:
        """Starts the clock, before any hook prepares anything."""
        self._since = time.time()
        runner.register_hook(_LostEvaluation())

    @master_only
    def before_train(self, runner: Runner) -> None:
        """Removes the results of an older run that a fresh one replaces."""
        if runner.epoch == 0:
            for name in (RESULTS_FILE, STUDENT_FILE):
                (Path(runner.work_dir) / name).unlink(missing_ok=True)

    def after_train_epoch(self, runner: Runner) -> None:
        """Adds this epoch to the time spent."""
        now = time.time()
        spent = runner.message_hub.runtime_info.get(_SECONDS, 0.0)
        runner.message_hub.update_info(_SECONDS, spent + now - self._since)
        self._since = now

    def after_val_epoch(
        self, runner: Runner, metrics: Optional[Dict[str, float]] = None
    ) -> None:
        """Remembers the metrics of an evaluation."""
        history = list(runner.message_hub.runtime_info.get(_HISTORY, []))
        numbers = {
            k: float(v)
            for k, v in (metrics or {}).items()
            if isinstance(v, (int, float))
        }
        history.append(dict(epoch=runner.epoch, **numbers))
        runner.message_hub.update_info(_HISTORY, history)

    @master_only
    def after_train(self, runner: Runner) -> None:
        """Writes both files."""
        work_dir = Path(runner.work_dir)
        model = runner.model
        model = model.module if is_model_wrapper(model) else model
        # The same path as a checkpoint's: EMAHook puts the averaged weights
        # into it.
        checkpoint = dict(state_dict=model.state_dict())
        runner.call_hook('before_save_checkpoint', checkpoint=checkpoint)
        dataset = runner.train_dataloader.dataset
        classes = list(
            (getattr(dataset, 'metainfo', None) or {}).get('classes', ())
        )
        save_student(
            student_state_dict(checkpoint),
            work_dir / STUDENT_FILE,
            dict(classes=classes, epoch=runner.epoch, seed=runner.seed),
        )
        info = runner.message_hub.runtime_info
        history = info.get(_HISTORY, [])
        write_json(
            dict(
                config=Path(runner.cfg.filename or '').name,
                seed=runner.seed,
                task=self.task or runner.cfg.get('task'),
                split_sha256=getattr(dataset, 'split_sha256', None),
                **summarize(history),
                epochs=runner.epoch,
                wall_seconds=round(
                    info.get(_SECONDS, 0.0) + time.time() - self._since, 1
                ),
                history=history,
                versions=versions(),
            ),
            work_dir / RESULTS_FILE,
        )
        runner.logger.info(
            f'Wrote {work_dir / RESULTS_FILE} and {work_dir / STUDENT_FILE}'
        )


class _LostEvaluation(Hook):
    """Makes up for an evaluation that a kill prevented.

    A checkpoint is written before the evaluation of its epoch, so a run
    killed in between resumes without it.
    """

    # After CheckpointHook, whose save_best wants to see the metrics.
    priority = 'LOWEST'

    def before_train(self, runner: Runner) -> None:
        loop, train_loop = runner.val_loop, runner.train_loop
        history = runner.message_hub.runtime_info.get(_HISTORY, [])
        done = {entry['epoch'] for entry in history}
        if loop is None or runner.epoch == 0 or runner.epoch in done:
            return
        due = runner.epoch % train_loop.val_interval == 0
        if runner.epoch >= train_loop.val_begin and (
            due or runner.epoch == runner.max_epochs
        ):
            loop.run()
