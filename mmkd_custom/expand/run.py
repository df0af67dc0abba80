"""Optimisers, hooks and checkpoints of the expanded config."""

from __future__ import annotations

from typing import Any, Dict

from mmengine.config import Config

from ..engine.console import begin_log
from ..errors import UserError
from ..stages import CUSTOMIZATION, StageSchedule
from ..utils.kinds import kind_name
from .elsewhere import refuse
from .key import Key
from .schedule import stretch_hooks
from .shipped import shipped

PACKAGE = 'mmkd_custom'
_CONSTRUCTOR = 'mmkd_custom.StagedOptimWrapperConstructor'
#: Hooks of MMPretrain's that reach into what the key replaces, and how.
_REFUSED = dict(
    SwitchRecipeHook='changes the training pipeline or the loss',
    PreciseBNHook='asks the model about batches of another form (use '
    'BatchNormStatisticsHook)',
)


def check_runner(config: Config) -> None:
    """Takes away the runner that reads the key, in place.

    Raises:
        UserError: If the config has another one.
    """
    given = config.pop('runner_type', 'DistillRunner')
    if kind_name(given) not in ('DistillRunner', 'Runner'):
        raise UserError(
            "distill: expected runner_type='mmkd_custom.DistillRunner' or "
            f'none, got {given!r}.'
        )


def set_imports(config: Config) -> None:
    """Has whoever reads the config import this package, in place."""
    imports = dict(config.get('custom_imports') or {})
    names = imports.get('imports') or []
    names = [names] if isinstance(names, str) else list(names)
    if PACKAGE not in names:
        names.append(PACKAGE)
    config.custom_imports = dict(imports, imports=names)


def set_seed(config: Config) -> None:
    """Gives a run without a seed the seed 0, in place.

    The views are a function of the seed, and what is written to the work
    directory shall give the same student.
    """
    randomness = dict(config.get('randomness') or {})
    if randomness.get('seed') is None:
        randomness['seed'] = 0
        begin_log(config, 'distill: randomness.seed is 0, for want of one.')
    config.randomness = randomness


def set_optimisers(config: Config, key: Key, stages: StageSchedule) -> None:
    """Gives each stage an optimiser, in place.

    Args:
        config (Config): With the student's ``optim_wrapper``.
        key (Key): The key.
        stages (StageSchedule): The stages of the method.

    Raises:
        UserError: If there is no optimiser, or one that is built in a way of
            its own while the method has two stages.
    """
    wrapper = config.get('optim_wrapper')
    if not isinstance(wrapper, dict):
        raise UserError(
            f'distill: expected an optim_wrapper, got {wrapper!r}.'
        )
    own = wrapper.get('constructor')
    two = len(stages.stages) > 1
    if own and kind_name(own) != 'DefaultOptimWrapperConstructor':
        if two:
            raise UserError(
                'distill: expected no optim_wrapper.constructor with a method '
                f'of two stages, each of which has its optimiser, got {own}; '
                'take a method of one stage, such as soft_target.'
            )
        return
    wrapper.constructor = _CONSTRUCTOR
    if not two:
        return
    if wrapper.get('stages'):
        refuse('optim_wrapper.stages', wrapper.stages)
    usual = shipped('schedules/adamw_short.py')['optim_wrapper']['stages']
    # What is said of the student's parameters is nothing to a projection.
    wrapper.stages = {
        CUSTOMIZATION: dict(
            optimizer=dict(
                usual[CUSTOMIZATION]['optimizer'], **(key.customization or {})
            ),
            paramwise_cfg=None,
        )
    }


def set_hooks(config: Config, times: int) -> None:
    """Adds the hooks that a distillation run has, in place.

    Args:
        config (Config): With the student's hooks.
        times (int): How many epochs the run has for one of the student's.

    Raises:
        UserError: If one of its hooks reaches into what was replaced.
    """
    runtime = shipped('default_runtime.py')
    custom = list(config.get('custom_hooks') or [])
    for hook in custom:
        why = _REFUSED.get(kind_name(hook))
        if why:
            raise UserError(
                f'distill: expected no {kind_name(hook)} in custom_hooks, '
                f'which {why}, got one; drop it.'
            )
    there = {kind_name(hook) for hook in custom}
    stretch_hooks(custom, times)
    custom += [
        hook
        for hook in runtime['custom_hooks']
        if kind_name(hook) not in there
    ]
    config.custom_hooks = custom
    hooks: Dict[str, Any] = dict(config.get('default_hooks') or {})
    steps = hooks.get('param_scheduler', {})
    if steps is not None and kind_name(steps) in ('', 'ParamSchedulerHook'):
        hooks['param_scheduler'] = runtime['default_hooks']['param_scheduler']
    kept = hooks.get('checkpoint', dict(type='CheckpointHook', interval=1))
    if isinstance(kept, dict):
        kept = dict(kept)
        stretch_hooks([kept], times)
        # Somebody who stores elsewhere says so.
        if not {'backend_args', 'file_client_args', 'out_dir'} & {*kept}:
            kept['backend_args'] = dict(backend='atomic')
        hooks['checkpoint'] = kept
    config.default_hooks = hooks


def set_parallel(config: Config) -> None:
    """Has DDP know that each stage trains a part of the model, in place."""
    config.find_unused_parameters = True
    if config.get('model_wrapper_cfg'):
        config.model_wrapper_cfg.find_unused_parameters = True
