"""Tells model, optimiser and sampler the stage of every epoch."""

from __future__ import annotations

from typing import Optional

from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.runner import EpochBasedTrainLoop, Runner

from ...errors import UserError
from ...registry import HOOKS
from ...stages import DISTILLATION, StageSchedule
from ..optim_wrapper import StagedOptimWrapper


@HOOKS.register_module()
class StageHook(Hook):
    """Enters the stage of the epoch before it starts.

    The stage is ``model.schedule(epoch)`` and nothing else, so a resumed run
    needs no memory of it. Does nothing for a model without stages, so the
    same config trains a baseline.
    """

    # Before DistSamplerSeedHook (NORMAL), so the sampler knows the schedule
    # when it is told the epoch.
    priority = 'HIGH'

    def before_train(self, runner: Runner) -> None:
        """Hands the schedule over and refuses settings that cannot work.

        Raises:
            UserError: If gradient accumulation would carry gradients across
                stages, or DDP would wait for parameters of another stage.
        """
        schedule = _schedule(runner)
        if schedule is None:
            return
        if not isinstance(runner.train_loop, EpochBasedTrainLoop):
            raise UserError(
                f'train_cfg: a {type(runner.train_loop).__name__} has no '
                'epochs to tell the stages by; set by_epoch=True.'
            )
        if schedule.count(DISTILLATION, runner.max_epochs) == 0:
            raise UserError(
                f'train_cfg.max_epochs={runner.max_epochs}: no epoch of '
                f'{schedule} distils, but at least one is wanted.'
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
                    f'optim_wrapper.accumulative_counts={counts} does not '
                    f'divide the {length} iterations of an epoch, but a stage '
                    'must not hand gradients to the next; set '
                    'train_dataloader.sampler.epoch_length to a multiple.'
                )
        if (
            len(schedule.stages) > 1
            and is_model_wrapper(runner.model)
            and not getattr(runner.model, 'find_unused_parameters', True)
        ):
            raise UserError(
                'find_unused_parameters=False, but each stage trains only '
                'part of the model; set find_unused_parameters=True in the '
                'config.'
            )
        if isinstance(wrapper, StagedOptimWrapper):
            wrapper.start_counting(
                runner.model, schedule, runner.epoch, runner.max_epochs, length
            )
        sampler = _sampler(runner)
        if hasattr(sampler, 'set_schedule'):
            sampler.set_schedule(schedule)
            # The sampler is built before a checkpoint brings the seed of the
            # run that is resumed.
            if 'seed' not in runner.cfg.train_dataloader.get('sampler', {}):
                sampler.seed = runner.seed

    def before_train_epoch(self, runner: Runner) -> None:
        """Enters the stage of this epoch and says so in the log."""
        sampler = _sampler(runner)
        if hasattr(sampler, 'set_epoch'):
            sampler.set_epoch(runner.epoch)
        schedule = _schedule(runner)
        if schedule is None:
            return
        stage = schedule(runner.epoch).name
        _unwrap(runner).set_stage(stage)
        if isinstance(runner.optim_wrapper, StagedOptimWrapper):
            runner.optim_wrapper.set_stage(stage)
        runner.message_hub.update_info('stage', stage)
        if len(schedule.stages) > 1:
            runner.logger.info(
                f'Epoch {runner.epoch + 1}/{runner.max_epochs}: {stage}'
            )


def _unwrap(runner: Runner):
    model = runner.model
    return model.module if is_model_wrapper(model) else model


def _schedule(runner: Runner) -> Optional[StageSchedule]:
    schedule = getattr(_unwrap(runner), 'schedule', None)
    return schedule if isinstance(schedule, StageSchedule) else None


def _sampler(runner: Runner):
    loader = runner.train_dataloader
    return getattr(loader.batch_sampler, 'sampler', loader.sampler)
