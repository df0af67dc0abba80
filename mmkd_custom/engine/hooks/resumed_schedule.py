"""A run that is resumed with another length follows that length's schedule."""

from __future__ import annotations

import warnings
from typing import Any, Dict, Iterable, Optional, Set, Tuple

from mmengine.hooks import Hook, ParamSchedulerHook
from mmengine.optim import OptimWrapper, OptimWrapperDict, _ParamScheduler
from mmengine.runner import IterBasedTrainLoop, Runner

from ...errors import UserError

#: Key of the message hub: what schedulers that watch a metric were told after
#: which epoch (or iteration, in a loop by iterations).
_WATCHED = 'watched_metrics'


class ResumedScheduleHook(Hook):
    """Replays the schedule where the length of a run has changed.

    MMEngine's schedulers take their ``end`` and what follows from it out of
    the checkpoint, so epochs added to a run would be trained at the end of
    the old schedule. They also compute each value from the one before. So
    when a checkpoint is of a run of another length (or keeps no schedulers),
    the new schedulers walk, on the new optimisers, the way that a straight
    run would have walked to this point, and their values take the place of
    those in the checkpoint. With the same length nothing changes.
    """

    # As StageHook, which registers it: after StrictLoadHook has refused what
    # is to be refused.
    priority = 'HIGH'

    def after_val_epoch(
        self, runner: Runner, metrics: Optional[Dict[str, float]] = None
    ) -> None:
        """Keeps what the schedulers that watch a metric are about to see."""
        watched = {
            scheduler.monitor: float(metrics[scheduler.monitor])
            for scheduler in _schedulers(runner)
            if metrics and getattr(scheduler, 'monitor', None) in metrics
        }
        if watched:
            kept = dict(runner.message_hub.runtime_info.get(_WATCHED, {}))
            kept[_position(runner)] = watched
            runner.message_hub.update_info(_WATCHED, kept)

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Leaves functions out of the schedulers' states.

        OneCycle's holds one. It is made with the scheduler, and a checkpoint
        with it could not be read with ``weights_only``.
        """
        states = checkpoint.get('param_schedulers', [])
        for state in states if isinstance(states, list) else _flat(states):
            for key in [k for k, v in state.items() if callable(v)]:
                del state[key]

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Replays before MMEngine restores optimisers and schedulers.

        Raises:
            UserError: If the run shall be shorter than it is already.
        """
        if not runner._resume:
            return
        info = checkpoint.get('message_hub', {}).get('runtime_info', {})
        unit = 'iter' if _by_iter(runner) else 'epoch'
        done = checkpoint['meta'][unit]
        name = f'max_{unit}s'
        length, before = getattr(runner, name), info.get(name)
        if before is not None and length < before and length <= done:
            raise UserError(
                f'train_cfg.{name}={length}: expected more than the {done} '
                f'that checkpoint {runner._load_from} has behind it, of '
                f'{before}.'
            )
        lengths = dict(
            max_epochs=runner.max_epochs, max_iters=runner.max_iters
        )
        same = all(info.get(k, v) == v for k, v in lengths.items())
        if runner.param_schedulers is None or (
            same and 'param_schedulers' in checkpoint
        ):
            return
        _replay(runner, done, info.get(_WATCHED, {}))
        # What is not there is not restored.
        checkpoint.pop('param_schedulers', None)
        names = _names(runner)
        for wrapper, state in _pairs(runner, checkpoint.get('optimizer')):
            _take_values(wrapper, state, names)
        runner.logger.info(
            f'The schedule from {unit} {done} on is that of a run of {length} '
            f'{unit}s; the checkpoint is of one of {before}.'
        )


def _replay(runner: Runner, done: int, watched: Dict[int, dict]) -> None:
    """Walks as far as a straight run would have walked.

    Args:
        runner (Runner): With new optimisers and schedulers. The state of its
            loop is moved; MMEngine sets it after loading.
        done (int): Epochs, or iterations of a loop by iterations.
        watched (dict[int, dict]): Metrics of evaluations, by their place.
    """
    loop = runner.train_loop
    length = 1 if _by_iter(runner) else len(runner.train_dataloader)
    hooks = [h for h in runner.hooks if isinstance(h, ParamSchedulerHook)]
    with warnings.catch_warnings():
        # Of a scheduler that steps before its optimiser does.
        warnings.simplefilter('ignore', UserWarning)
        for position in range(done):
            for index in range(length):
                loop._iter = position * length + index
                for hook in hooks:
                    hook.after_train_iter(runner, index)
            if not _by_iter(runner):
                for hook in hooks:
                    hook.after_train_epoch(runner)
                loop._epoch = position + 1
            for hook in hooks:
                hook.after_val_epoch(runner, watched.get(position + 1))


def _take_values(wrapper: OptimWrapper, state: dict, names: Set[str]) -> None:
    """Puts an optimiser's scheduled values into the state of another."""
    groups = [*state['param_groups'], state.get('base_param_settings', {})]
    for group, saved in zip(wrapper.param_groups, groups):
        saved.update({k: v for k, v in group.items() if k in names})


def _names(runner: Runner) -> Set[str]:
    """Returns the keys of a parameter group that schedulers write."""
    names = {scheduler.param_name for scheduler in _schedulers(runner)}
    keys = {
        f'{prefix}{name}'
        for name in names
        for prefix in ('', 'initial_', 'max_', 'min_')
    }
    # Where Adam has its momentum.
    return keys | {'betas'} if 'momentum' in names else keys


def _pairs(
    runner: Runner, saved: Optional[Dict[str, Any]]
) -> Iterable[Tuple[OptimWrapper, dict]]:
    """Pairs each optimiser with its state in a checkpoint."""
    wrapper = runner.optim_wrapper
    if saved is None:
        return []
    if not isinstance(wrapper, OptimWrapperDict):
        return [(wrapper, saved)]
    return [(wrapper[key], saved[key]) for key in saved if key in wrapper]


def _schedulers(runner: Runner) -> Iterable[_ParamScheduler]:
    schedulers = runner.param_schedulers or []
    return schedulers if isinstance(schedulers, list) else _flat(schedulers)


def _flat(lists: Dict[str, list]) -> list:
    return [item for items in lists.values() for item in items]


def _position(runner: Runner) -> int:
    return runner.iter if _by_iter(runner) else runner.epoch


def _by_iter(runner: Runner) -> bool:
    return isinstance(runner.train_loop, IterBasedTrainLoop)
