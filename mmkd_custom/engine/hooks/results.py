"""Leaves ``results.json`` and ``student.pth`` at the end of a run."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any, Dict, Optional

from mmengine.dist import is_main_process
from mmengine.hooks import Hook
from mmengine.runner import BaseLoop, Runner
from torch.utils.data import IterableDataset

from ...evaluation.constant import constant_metrics, majority_class
from ...evaluation.results import (
    TEACHER_METRICS,
    device_name,
    numbers,
    summarize,
    versions,
    write_json,
)
from ...export.checkpoint import save_student, student_state_dict
from ...registry import HOOKS
from ...utils.files import RESULTS_FILE, STUDENT_FILE
from ...utils.runs import RUN_KEY, check_work_dir, left_by_run
from ..identity import identity
from ..unwrap import saved_weights
from .finite_loss import SKIPPED
from .selection import SELECTION

_HISTORY = 'evaluation_history'
_SECONDS = 'train_seconds'


@HOOKS.register_module()
class ResultsHook(Hook):
    """Collects every evaluation and writes the run's results.

    The history and the seconds spent travel in the checkpoints (MMEngine's
    message hub), so a resumed run reports all of its epochs and all of its
    time. So does what tells the run from others, by which
    :class:`~mmkd_custom.engine.StrictLoadHook` refuses another run's
    checkpoint. A used work directory is refused, unless the run there goes on
    or an :class:`OverwriteHook` is there.

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
        """Refuses a used folder, says which run this is.

        Raises:
            UserError: If an older run left something in the work directory.
        """
        check_work_dir(
            runner.work_dir,
            runner._load_from,
            # MMEngine may have found nothing to go on from.
            runner._resume and runner._has_loaded,
            any(isinstance(hook, OverwriteHook) for hook in runner.hooks),
        )
        runner.message_hub.update_info(
            RUN_KEY, self._identity(runner, runner.seed)
        )

    def _identity(self, runner: Runner, seed: Optional[int]) -> Dict[str, Any]:
        loader = runner.train_dataloader
        iterable = isinstance(loader.dataset, IterableDataset)
        return identity(
            runner.cfg,
            seed=seed,
            task=self.task or runner.cfg.get('task'),
            split_sha256=getattr(loader.dataset, 'split_sha256', None),
            epoch_iters=None if iterable else len(loader),
        )

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
        history.append(dict(epoch=runner.epoch, **numbers(metrics or {})))
        runner.message_hub.update_info(_HISTORY, history)

    def after_train(self, runner: Runner) -> None:
        """Writes both files."""
        constant = _constant_answer(runner)
        if is_main_process():
            self._write(runner, constant)

    def _write(self, runner: Runner, constant: Optional[dict]) -> None:
        work_dir = Path(runner.work_dir)
        dataset = runner.train_dataloader.dataset
        info = runner.message_hub.runtime_info
        # As MMEngine's checkpoint of this epoch says it.
        meta = dict(
            epoch=runner.epoch,
            iter=runner.iter,
            seed=runner.seed,
            dataset_meta=getattr(dataset, 'metainfo', None),
            mmengine_version=info.get('mmengine_version'),
        )
        save_student(
            student_state_dict(saved_weights(runner)),
            work_dir / STUDENT_FILE,
            meta,
        )
        # What hooks have left that were there.
        left = (SELECTION, TEACHER_METRICS, SKIPPED)
        more = {k: info[k] for k in left if k in info}
        history = info.get(_HISTORY, [])
        run = self._identity(runner, runner.seed)
        # Long, and therefore last.
        settings = run.pop('settings')
        write_json(
            dict(
                **run,
                **summarize(history),
                constant=constant,
                epochs=runner.epoch,
                **more,
                wall_seconds=round(
                    info.get(_SECONDS, 0.0) + time.time() - self._since, 1
                ),
                device=device_name(),
                history=history,
                versions=versions(),
                settings=settings,
            ),
            work_dir / RESULTS_FILE,
        )
        runner.logger.info(
            f'Wrote {work_dir / RESULTS_FILE} and {work_dir / STUDENT_FILE}'
        )


def _constant_answer(runner: Runner) -> Optional[Dict[str, Any]]:
    """Returns what always answering the commonest labelled class scores."""
    if runner.val_loop is None:
        return None
    dataset = runner.train_dataloader.dataset
    classes = (getattr(dataset, 'metainfo', None) or {}).get('classes')
    try:
        answer = majority_class(getattr(dataset, 'labelled', dataset))
        metrics = constant_metrics(
            runner.val_loop.evaluator,
            runner.val_loop.dataloader.dataset,
            answer,
            len(classes),
        )
    # Datasets and metrics are anyone's, and the run has been trained.
    except Exception as error:
        runner.logger.warning(f'No constant answer beside the result: {error}')
        return None
    return metrics and {'class': classes[answer], **numbers(metrics)}


class OverwriteHook(Hook):
    """Deletes what an older run left, when all else was found to be right.

    That is right before the first training step: everything is built, and the
    first batch is there.
    """

    priority = 'LOWEST'

    def before_run(self, runner: Runner) -> None:
        """Notes what is there; what this run saves is not of an older one."""
        self._older = left_by_run(runner.work_dir) if is_main_process() else []

    def before_train_iter(self, runner: Runner, *_: Any, **__: Any) -> None:
        """Deletes, once and in one process."""
        older, self._older = self._older, []
        for path in older:
            # The run may have saved one of the same name.
            path.unlink(missing_ok=True)
            runner.logger.info(f'Deleted {path} of an older run')


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
