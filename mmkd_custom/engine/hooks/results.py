"""Leaves ``results.json`` and ``student.pth`` at the end of a run."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any, Dict, Optional

from mmengine.dist import is_main_process, master_only
from mmengine.hooks import Hook
from mmengine.runner import BaseLoop, Runner

from ...evaluation import summarize, versions, write_json
from ...export.student import save_student, student_state_dict
from ...files import (
    RESULTS_FILE,
    RUN_KEY,
    STUDENT_FILE,
    drop_aside,
    set_aside,
)
from ...registry import HOOKS
from ..unwrap import unwrapped
from .finite_loss import SKIPPED

_HISTORY = 'evaluation_history'
_SECONDS = 'train_seconds'


@HOOKS.register_module()
class ResultsHook(Hook):
    """Collects every evaluation and writes the run's results.

    The history and the seconds spent travel in the checkpoints (MMEngine's
    message hub), so a resumed run reports all of its epochs and all of its
    time. So does what tells the run from others, by which
    :class:`~mmkd_custom.engine.StrictLoadHook` refuses another run's
    checkpoint. A fresh run replaces the results and checkpoints of an older
    one in its folder: they are set aside before its first epoch and deleted
    after it.

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
        """Starts the clock, says which run this is."""
        self._since = time.time()
        # A run that only tests builds no training data to be told by.
        if isinstance(runner._train_loop, BaseLoop):
            # Without a seed of its own a run takes the checkpoint's.
            seed = (runner.cfg.get('randomness') or {}).get('seed')
            runner.message_hub.update_info(
                RUN_KEY, self._identity(runner, seed)
            )
        runner.register_hook(_LostEvaluation())

    def before_train(self, runner: Runner) -> None:
        """Sets aside what an older run left, if this one is fresh."""
        runner.message_hub.update_info(
            RUN_KEY, self._identity(runner, runner.seed)
        )
        # Not the epoch: a loop by iterations may be resumed in its first.
        if runner.iter == 0 and is_main_process():
            set_aside(runner.work_dir)

    def _identity(self, runner: Runner, seed: Optional[int]) -> Dict[str, Any]:
        """What tells a run from others, None where it is not known."""
        name = runner.cfg.filename
        return dict(
            config=Path(name).name if name else None,
            seed=seed,
            task=self.task or runner.cfg.get('task'),
            split_sha256=getattr(
                runner.train_dataloader.dataset, 'split_sha256', None
            ),
        )

    def after_train_epoch(self, runner: Runner) -> None:
        """Adds this epoch to the time spent; an older run is history."""
        self._forget_older(runner)
        now = time.time()
        spent = runner.message_hub.runtime_info.get(_SECONDS, 0.0)
        runner.message_hub.update_info(_SECONDS, spent + now - self._since)
        self._since = now

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Forgets an older run: a loop by iterations ends no epoch."""
        self._forget_older(runner)

    @master_only
    def _forget_older(self, runner: Runner) -> None:
        drop_aside(runner.work_dir)

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
        model = unwrapped(runner)
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
        skipped = {k: v for k, v in info.items() if k == SKIPPED}
        history = info.get(_HISTORY, [])
        write_json(
            dict(
                **self._identity(runner, runner.seed),
                **summarize(history),
                epochs=runner.epoch,
                **skipped,
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
