"""Every stage follows the whole schedule in its own epochs."""

from __future__ import annotations

from typing import Dict, Iterator, List, Optional

from mmengine.hooks import ParamSchedulerHook
from mmengine.optim import _ParamScheduler
from mmengine.runner import Runner

from ...registry import HOOKS
from ...stages import StageSchedule
from ..optim_wrapper import StagedOptimWrapper
from ..unwrap import unwrapped


@HOOKS.register_module()
class StageParamSchedulerHook(ParamSchedulerHook):
    """Advances the schedulers of the current stage only, stretched to fit.

    With one optimiser a stage, MMEngine's hook would also advance a stage's
    schedulers while another stage trains, so that a student met half of its
    warm-up before its first step. Here a stage walks through the schedule of
    the config, which is written in epochs of the whole run, within its own
    epochs: after d of its D iterations its schedulers have made floor(d N / D)
    of N steps, N being the iterations of the run (and epochs likewise). That
    is a function of the iteration, so a resumed run goes on with it.

    A model without stages, or with one optimiser for all of them, is treated
    as MMEngine treats it.
    """

    def after_train_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: Optional[dict] = None,
        outputs: Optional[dict] = None,
    ) -> None:
        """Steps the schedulers that count iterations."""
        if _schedule(runner) is None:
            super().after_train_iter(runner, batch_idx, data_batch, outputs)
            return
        length = len(runner.train_dataloader)
        for scheduler in self._due(runner, length, batch_idx):
            if not scheduler.by_epoch:
                scheduler.step()

    def after_train_epoch(self, runner: Runner) -> None:
        """Steps the schedulers that count epochs."""
        if _schedule(runner) is None:
            super().after_train_epoch(runner)
            return
        for scheduler in self._due(runner, 1, 0):
            if scheduler.by_epoch:
                scheduler.step()

    def _due(
        self, runner: Runner, length: int, position: int
    ) -> Iterator[_ParamScheduler]:
        """Yields the current stage's schedulers, each as often as is due.

        Args:
            runner (Runner): In the middle of an epoch.
            length (int): Ticks of an epoch.
            position (int): The tick of this epoch, from 0.
        """
        schedule = _schedule(runner)
        stage = schedule(runner.epoch).name
        total = runner.max_epochs * length
        own = schedule.count(stage, runner.max_epochs) * length
        before = schedule.occurrence(runner.epoch) * length + position
        steps = (before + 1) * total // own - before * total // own
        schedulers: Dict[str, List[_ParamScheduler]] = runner.param_schedulers
        for scheduler in schedulers.get(stage, []):
            for _ in range(steps):
                yield scheduler


def _schedule(runner: Runner) -> Optional[StageSchedule]:
    schedule = getattr(unwrapped(runner), 'schedule', None)
    if (
        isinstance(schedule, StageSchedule)
        and len(schedule.stages) > 1
        and isinstance(runner.optim_wrapper, StagedOptimWrapper)
        and isinstance(runner.param_schedulers, dict)
    ):
        return schedule
    return None
