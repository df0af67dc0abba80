"""The config of each way of training whose throughput is compared."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any, Dict, List

from mmengine.config import Config, ConfigDict

from ..errors import UserError
from ..fitting.config import inner_teacher, is_type
from ..stages import DISTILLATION
from .loader import loader_options

STUDENT, STUDENT_LAST, UNCACHED, CACHED, CUSTOMIZE = (
    'student_only',
    'student_channels_last',
    'uncached',
    'cached',
    'customize_cached',
)
#: What is compared, in the order of the table.
MODES = (STUDENT, STUDENT_LAST, UNCACHED, CACHED, CUSTOMIZE)
#: Fills the cache that the cached modes read.
FILL = 'fill'

#: Of a config's hooks, those that a training iteration cannot do without:
#: no validation, no checkpoints, no results, no pictures, no reports.
_DEFAULT_HOOKS = (
    'runtime_info',
    'timer',
    'sampler_seed',
    'logger',
    'param_scheduler',
)
_CUSTOM_HOOKS = (
    'StageHook',
    'EpochSeedHook',
    'StandardizeTeacherHook',
    'TeacherCacheHook',
)


def mode_configs(
    config: Config, folder: Path, batches: int, workers: int
) -> Dict[str, Config]:
    """Derives the config of every mode.

    Args:
        config (Config): From :func:`~mmkd_custom.engine.config.prepare`, of a
            distiller.
        folder (Path): Where work directories and the cache go.
        batches (int): Batches of a window.
        workers (int): Worker processes of every loader.

    Returns:
        dict[str, Config]: By the names of :data:`MODES` and :data:`FILL`.

    Raises:
        UserError: If the config has no teacher or no training loader.
    """
    check_teacher(config)
    config = copy.deepcopy(config)
    config.train_dataloader = loader_options(config, workers)
    config.train_cfg = dict(
        type='mmkd_custom.WindowLoop',
        max_epochs=(config.get('train_cfg') or {}).get('max_epochs') or 100,
        batches=batches,
    )
    for name in ('val', 'test'):
        for part in ('dataloader', 'cfg', 'evaluator'):
            config[f'{name}_{part}'] = None
    hooks = config.get('default_hooks') or {}
    config.default_hooks = dict(
        {name: hooks[name] for name in _DEFAULT_HOOKS if name in hooks},
        checkpoint=None,
    )
    config.custom_hooks = [
        hook
        for hook in config.get('custom_hooks') or []
        if is_type(hook, *_CUSTOM_HOOKS)
    ]
    randomness = config.get('randomness') or {}
    # All modes have to draw the same images.
    config.randomness = dict(randomness, seed=randomness.get('seed') or 0)
    config.load_from, config.resume = None, False
    config.log_level = 'WARNING'
    configs = {}
    for name in (FILL, *MODES):
        mode = copy.deepcopy(config)
        mode.work_dir = str(folder / name)
        if name in (STUDENT, STUDENT_LAST):
            _without_distillation(mode)
            if name == STUDENT_LAST:
                # Only its images differ, in how they lie in memory.
                mode.model.data_preprocessor.type = (
                    'mmkd_custom.DistillDataPreprocessor'
                )
        elif name == UNCACHED:
            mode.model.teacher = inner_teacher(mode)[0]
        else:
            with_cache(mode, folder / 'cache')
        configs[name] = mode
    return configs


def check_teacher(config: Config) -> None:
    """Refuses a config whose model has no teacher.

    Args:
        config (Config): Any.

    Raises:
        UserError: If it has none, or no student.
    """
    model = config.get('model') or {}
    if not isinstance(model.get('teacher'), dict) or not model.get('student'):
        raise UserError(
            'config: its model has no teacher and student, but distillation '
            'is to be compared with training the student alone, as in '
            'configs/customkd_mbv3_domain_folder_128.py.'
        )


def _without_distillation(config: Config) -> None:
    """Leaves plain MMPretrain training of the student, over the same images.

    Its own preprocessor with the options of the distiller's, its own
    optimiser with those of the distillation stage.
    """
    model = config.model
    preprocessor = dict(
        model.get('data_preprocessor') or config.get('data_preprocessor') or {}
    )
    preprocessor['type'] = 'mmpretrain.ClsDataPreprocessor'
    config.model = ConfigDict(model.student, data_preprocessor=preprocessor)
    config.train_cfg.plain = True
    # MMEngine's own, where the config has this package's.
    for name in ('runtime_info', 'param_scheduler'):
        config.default_hooks.pop(name, None)
    config.custom_hooks = [
        hook for hook in config.custom_hooks if is_type(hook, 'EpochSeedHook')
    ]
    wrapper = config.optim_wrapper
    stages = wrapper.pop('stages', None) or {}
    if is_type(
        dict(type=wrapper.get('constructor')), 'StagedOptimWrapperConstructor'
    ):
        del wrapper['constructor']
    # Replaced, not merged: as that constructor does.
    for name, value in (stages.get(DISTILLATION) or {}).items():
        wrapper[name] = value


def with_cache(config: Config, folder: Path) -> None:
    """Puts the teacher of a config into a cache, and has that opened.

    Args:
        config (Config): Of a distiller; is changed. What its ``CachedTeacher``
            says of the cache stays, if it has one.
        folder (Path): Of the cache.
    """
    teacher = config.model.teacher
    if not is_type(teacher, 'CachedTeacher'):
        teacher = dict(type='mmkd_custom.CachedTeacher', teacher=teacher)
    config.model.teacher = dict(teacher, cache_dir=str(folder))
    hooks: List[Any] = config.custom_hooks
    if not any(is_type(hook, 'TeacherCacheHook') for hook in hooks):
        config.custom_hooks = [
            *hooks,
            dict(type='mmkd_custom.TeacherCacheHook'),
        ]
