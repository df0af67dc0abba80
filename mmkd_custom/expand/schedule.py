"""Epochs and schedules: the student's are as many as the config says."""

from __future__ import annotations

from typing import Any, Dict, List

from mmengine.config import Config

from ..errors import UserError
from ..stages import DISTILLATION, StageSchedule
from ..utils.kinds import kind_name

#: Options of schedulers that count epochs or iterations.
_COUNTS = (
    'begin',
    'end',
    'T_max',
    'milestones',
    'periods',
    'step_size',
    'total_steps',
)


def stretch(config: Config, stages: StageSchedule) -> int:
    """Makes a run so long that the student has its epochs, in place.

    A schedule is written in epochs of the whole run, of which each stage
    walks through all within its own, see ``StageParamSchedulerHook``.

    Args:
        config (Config): Of the student alone.
        stages (StageSchedule): The stages of the method.

    Returns:
        int: How many epochs the run has for one of the student's.

    Raises:
        UserError: If it counts iterations, and the method has two stages, or
            the student's epochs are not one in a cycle.
    """
    own = stages.count(DISTILLATION, stages.period)
    if len(stages.stages) == 1:
        return 1
    train = config.get('train_cfg') or {}
    if not train.get('by_epoch', True) or 'Iter' in kind_name(train):
        raise UserError(
            f'distill.method: {stages} tells its stages by epochs, but '
            'train_cfg counts iterations; expected by_epoch=True and '
            'max_epochs, or a method of one stage, such as soft_target.'
        )
    if own != 1:
        raise UserError(
            f'distill.method.schedule: expected one epoch of {DISTILLATION} '
            f'in a cycle, got {own}; write the config out for more.'
        )
    times = stages.period
    for name in ('max_epochs', 'val_begin', 'val_interval'):
        if name in train or name == 'val_interval':
            train[name] = times * train.get(name, 1)
    if train.get('dynamic_intervals'):
        train['dynamic_intervals'] = [
            tuple(times * value for value in pair)
            for pair in train['dynamic_intervals']
        ]
    schedulers = config.get('param_scheduler')
    for scheduler in (
        [schedulers] if isinstance(schedulers, dict) else schedulers or []
    ):
        _stretch_scheduler(scheduler, times)
    return times


def _stretch_scheduler(scheduler: dict, times: int) -> None:
    for name in _COUNTS:
        value = scheduler.get(name)
        if isinstance(value, (list, tuple)):
            scheduler[name] = [times * each for each in value]
        elif value is not None:
            scheduler[name] = times * value
    if 'Exponential' in kind_name(scheduler) and 'gamma' in scheduler:
        # A factor for each epoch.
        scheduler['gamma'] **= 1 / times


def stretch_hooks(hooks: List[Any], times: int) -> None:
    """Has hooks that count epochs count the student's, in place.

    Args:
        hooks (list): Configs of hooks.
        times (int): From :func:`stretch`.
    """
    for hook in hooks:
        for name in _counted(hook):
            if isinstance(hook.get(name), int) and hook[name] > 0:
                hook[name] *= times


def _counted(hook: Dict[str, Any]) -> List[str]:
    name = kind_name(hook)
    if name == 'CheckpointHook' and hook.get('by_epoch', True):
        return ['interval', 'save_begin']
    if name == 'EMAHook':
        return ['begin_epoch', 'begin_iter']
    return []
