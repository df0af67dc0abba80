"""Tells model, optimiser and sampler the stage of every epoch."""

from __future__ import annotations

from typing import Any, Optional

from mmengine.dist import broadcast_object_list
from mmengine.hooks import EMAHook, Hook
from mmengine.model import is_model_wrapper
from mmengine.runner import BaseLoop, EpochBasedTrainLoop, Runner

from ...datasets import (
    TwoStreamBatchSampler,
    TwoStreamDataset,
    TwoStreamSampler,
)
from ...errors import UserError
from ...models.distillers import BaseDistiller
from ...registry import HOOKS
from ...stages import STUDENT, StageSchedule
from ..optim_wrapper import StagedOptimWrapper
from ..teacher_pass import name_images
from ..unwrap import ensure_hook, unwrapped
from .resumed_schedule import ResumedScheduleHook


@HOOKS.register_module()
class StageHook(Hook):
    """Enters the stage of the epoch before it starts.

    The stage is ``model.schedule(epoch)`` and nothing else, so a resumed run
    needs no memory of it. Does nothing for a model without stages, so the
    same config trains a baseline. It also brings
    :class:`~mmkd_custom.engine.hooks.resumed_schedule.ResumedScheduleHook`.

    In stages that do not train the student every ``EMAHook`` pauses: the
    average is that of the student's own steps.
    """

    # Before DistSamplerSeedHook (NORMAL), so the sampler knows the schedule
    # when it is told the epoch.
    priority = 'HIGH'

    def before_run(self, runner: Runner) -> None:
        """Sees to the schedule of a run that is resumed."""
        # A run that only tests has none.
        if isinstance(runner._train_loop, BaseLoop):
            ensure_hook(runner, ResumedScheduleHook)

    def before_train(self, runner: Runner) -> None:
        """Hands the schedule over and refuses settings that cannot work.

        Raises:
            UserError: If gradient accumulation would carry gradients across
                stages, or DDP would wait for parameters of another stage.
        """
        sampler = _sampler(runner)
        if isinstance(sampler, TwoStreamSampler):
            _check_batches(runner)
            _share_seed(runner, sampler)
        schedule = _schedule(runner)
        if schedule is None:
            return
        if hasattr(sampler, 'set_schedule'):
            sampler.set_schedule(schedule)
        model, dataset = unwrapped(runner), runner.train_dataloader.dataset
        _check_views(model, dataset)
        if isinstance(
            runner.train_dataloader.batch_sampler, TwoStreamBatchSampler
        ):
            name_images(runner, model)
        for network in model.networks.values():
            network.check(dataset)
        if len(schedule.stages) > 1:
            self._check_stages(runner, schedule)
            for hook in runner.hooks:
                if isinstance(hook, EMAHook):
                    _average_the_student_only(hook)
        wrapper = runner.optim_wrapper
        if not isinstance(wrapper, StagedOptimWrapper):
            return
        if isinstance(runner.train_loop, EpochBasedTrainLoop):
            wrapper.start_counting(
                runner.model,
                schedule,
                runner.epoch,
                runner.max_epochs,
                len(runner.train_dataloader),
            )
        else:
            # One stage, the whole run long.
            wrapper.start_counting(
                runner.model, schedule, runner.iter, runner.max_iters, 1
            )

    def _check_stages(self, runner: Runner, schedule: StageSchedule) -> None:
        if not isinstance(runner.train_loop, EpochBasedTrainLoop):
            raise UserError(
                'train_cfg: expected epochs to tell the stages by, got a '
                f'{type(runner.train_loop).__name__}; set by_epoch=True.'
            )
        model = unwrapped(runner)
        if not any(
            STUDENT in model.trained_children(schedule(epoch).name)
            for epoch in range(min(runner.max_epochs, schedule.period))
        ):
            raise UserError(
                f'train_cfg.max_epochs: expected at least one epoch of '
                f'{schedule} that trains the student, got '
                f'{runner.max_epochs}.'
            )
        length = len(runner.train_dataloader)
        wrapper = runner.optim_wrapper
        wrappers = (
            list(wrapper.values())
            if isinstance(wrapper, StagedOptimWrapper)
            else [wrapper]
        )
        for each in wrappers:
            counts = getattr(each, '_accumulative_counts', 1)
            if length % counts:
                raise UserError(
                    'optim_wrapper.accumulative_counts: expected a divisor '
                    f'of the {length} iterations of an epoch, since a stage '
                    f'must not hand gradients to the next, got {counts}.'
                )
        if is_model_wrapper(runner.model) and not getattr(
            runner.model, 'find_unused_parameters', True
        ):
            raise UserError(
                'find_unused_parameters: expected True, since each stage '
                'trains only part of the model, got False.'
            )

    def before_train_epoch(self, runner: Runner) -> None:
        """Enters the stage of this epoch and says so in the log."""
        sampler = _sampler(runner)
        if hasattr(sampler, 'set_epoch'):
            sampler.set_epoch(runner.epoch)
        schedule = _schedule(runner)
        if schedule is None:
            return
        stage = schedule(runner.epoch).name
        unwrapped(runner).set_stage(stage)
        if isinstance(runner.optim_wrapper, StagedOptimWrapper):
            runner.optim_wrapper.set_stage(stage)
        runner.message_hub.update_info('stage', stage)
        if len(schedule.stages) > 1:
            _forget_scalars(runner)
            runner.logger.info(
                f'Epoch {runner.epoch + 1}/{runner.max_epochs}: {stage}'
            )

    def before_train_iter(self, runner: Runner, *_: Any, **__: Any) -> None:
        """Tells the model the share of the run that is done."""
        if _schedule(runner) is not None:
            unwrapped(runner).progress = runner.iter / runner.max_iters

    def after_train_iter(self, runner: Runner, *_: Any, **__: Any) -> None:
        """Has the model do what follows a step."""
        if _schedule(runner) is None:
            return
        wrapper = runner.optim_wrapper
        if isinstance(wrapper, StagedOptimWrapper):
            wrapper = wrapper.active
        skipped = any(getattr(hook, 'skipped', False) for hook in runner.hooks)
        stepped = getattr(wrapper, 'should_update', lambda: True)()
        if stepped and not skipped:
            unwrapped(runner).after_step()


def _check_views(model: BaseDistiller, dataset: Any) -> None:
    """Refuses terms that look at a view which the dataset does not make."""
    if not isinstance(dataset, TwoStreamDataset):
        return
    for stage in model.schedule.stages:
        asked = {who.partition('@')[2] for who in model.wants(stage.name)}
        for view in asked - {'', STUDENT, *dataset.pipelines}:
            raise UserError(
                f'train_dataloader.dataset.pipelines: expected one for the '
                f'view {view!r}, which a term looks at, got '
                f'{sorted(dataset.pipelines)}.'
            )


def _schedule(runner: Runner) -> Optional[StageSchedule]:
    schedule = getattr(unwrapped(runner), 'schedule', None)
    return schedule if isinstance(schedule, StageSchedule) else None


def _average_the_student_only(hook: EMAHook) -> None:
    """Has an EMAHook, MMEngine's or another, wait for the student's steps.

    Else it would count the steps of other stages too, in which the student
    stands still: the average would lag less behind it than was asked.
    """
    update = hook.after_train_iter

    def after_train_iter(runner: Runner, *args, **kwargs) -> None:
        model = unwrapped(runner)
        if 'student' in model.trained_children(model.stage):
            update(runner, *args, **kwargs)

    hook.after_train_iter = after_train_iter


def _check_batches(runner: Runner) -> None:
    batch_sampler = runner.train_dataloader.batch_sampler
    if not isinstance(batch_sampler, TwoStreamBatchSampler):
        raise UserError(
            'train_dataloader.batch_sampler: expected a '
            'TwoStreamBatchSampler, which keeps the batches of a '
            f'TwoStreamSampler, got a {type(batch_sampler).__name__}.'
        )


def _share_seed(runner: Runner, sampler: TwoStreamSampler) -> None:
    """Hands the sampler the run's seed, unless the config has its own.

    The sampler is built before a checkpoint brings the seed of the run that
    is resumed. With diff_rank_seed each rank's differs, and the ranks must
    walk one permutation: rank 0's counts.
    """
    given = runner.cfg.get('train_dataloader')
    if given is not None and 'seed' not in given.get('sampler', {}):
        seed = [runner.seed]
        broadcast_object_list(seed)
        sampler.seed = seed[0]


def _forget_scalars(runner: Runner) -> None:
    """Drops the terms of the stage that ended from what is averaged.

    MMEngine would go on logging them, as if they were measured now, and mix
    the losses of two stages into one mean.
    """
    scalars = runner.message_hub.log_scalars
    for name in list(scalars):
        mode, _, rest = name.partition('/')
        # What MMEngine measures itself stays: learning rates and times.
        if mode == 'train' and not rest.endswith(('lr', 'momentum', 'time')):
            del scalars[name]


def _sampler(runner: Runner):
    loader = runner.train_dataloader
    return getattr(loader.batch_sampler, 'sampler', loader.sampler)
