"""The config of each way of training whose throughput is compared."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Dict

from mmengine.config import Config, ConfigDict

from ..errors import UserError
from ..fitting.config import inner_teacher
from ..stages import DISTILLATION
from ..utils.kinds import is_kind

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
#: no checkpoints, no results, no pictures, no reports.
_DEFAULT_HOOKS = (
    *('runtime_info', 'timer', 'sampler_seed', 'logger', 'param_scheduler'),
)
_CUSTOM_HOOKS = (
    *('StageHook', 'EpochSeedHook', 'StandardizeTeacherHook'),
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
    model = config.get('model') or {}
    if not isinstance(model.get('teacher'), dict) or not model.get('student'):
        raise UserError(
            'config: expected a model with a teacher and a student, as in '
            'configs/customkd_mbv3_domain_folder_128.py, got '
            f'{model.get("type")}.'
        )
    if not config.get('train_dataloader'):
        raise UserError('config: expected a train_dataloader, got none.')
    config = copy.deepcopy(config)
    loader = config.train_dataloader
    loader.update(num_workers=workers, persistent_workers=workers > 0)
    if workers == 0:
        loader.pop('prefetch_factor', None)
    config.train_cfg = dict(
        type='mmkd_custom.WindowLoop',
        max_epochs=(config.get('train_cfg') or {}).get('max_epochs') or 100,
        batches=batches,
    )
    for name in ('val', 'test'):
        for part in ('dataloader', 'cfg', 'evaluator'):
            config[f'{name}_{part}'] = None
    hooks = config.get('default_hooks') or {}
    config.default_hooks = {k: hooks[k] for k in _DEFAULT_HOOKS if k in hooks}
    config.default_hooks.checkpoint = None
    hooks = config.get('custom_hooks') or []
    config.custom_hooks = [h for h in hooks if is_kind(h, *_CUSTOM_HOOKS)]
    randomness = config.get('randomness') or {}
    # All modes have to draw the same images.
    config.randomness = dict(randomness, seed=randomness.get('seed') or 0)
    config.load_from, config.resume = None, False
    config.log_level = 'WARNING'
    modes = {name: copy.deepcopy(config) for name in (FILL, *MODES)}
    for name, mode in modes.items():
        mode.work_dir = str(folder / name)
        if name in (STUDENT, STUDENT_LAST):
            _without_distillation(mode, channels_last=name == STUDENT_LAST)
        elif name == UNCACHED:
            mode.model.teacher = inner_teacher(mode)[0]
        else:
            _with_cache(mode, folder / 'cache')
    return modes


def _without_distillation(config: Config, channels_last: bool) -> None:
    """Leaves plain MMPretrain training of the student, over the same images.

    Its own preprocessor with the options of the distiller's, its own
    optimiser with those of the distillation stage.
    """
    model = config.model
    preprocessor = dict(
        model.get('data_preprocessor') or config.get('data_preprocessor') or {}
    )
    # They differ in how images lie in memory.
    preprocessor['type'] = (
        'mmkd_custom.DistillDataPreprocessor'
        if channels_last
        else 'mmpretrain.ClsDataPreprocessor'
    )
    config.model = ConfigDict(model.student, data_preprocessor=preprocessor)
    config.train_cfg.plain = True
    # MMEngine's own, where the config has this package's.
    for name in ('runtime_info', 'param_scheduler'):
        config.default_hooks.pop(name, None)
    hooks = config.custom_hooks
    config.custom_hooks = [h for h in hooks if is_kind(h, 'EpochSeedHook')]
    wrapper = config.optim_wrapper
    stages = wrapper.pop('stages', None) or {}
    constructor = wrapper.get('constructor')
    if is_kind(constructor, 'StagedOptimWrapperConstructor'):
        del wrapper['constructor']
    # Replaced, not merged: as that constructor does.
    for name, value in (stages.get(DISTILLATION) or {}).items():
        wrapper[name] = value


def _with_cache(config: Config, folder: Path) -> None:
    """Puts the teacher of a config into a cache, and has that opened."""
    teacher, hooks = config.model.teacher, config.custom_hooks
    if not is_kind(teacher, 'CachedTeacher'):
        teacher = dict(type='mmkd_custom.CachedTeacher', teacher=teacher)
    config.model.teacher = dict(teacher, cache_dir=str(folder))
    if not any(is_kind(hook, 'TeacherCacheHook') for hook in hooks):
        hook = dict(type='mmkd_custom.TeacherCacheHook')
        config.custom_hooks = [*hooks, hook]
