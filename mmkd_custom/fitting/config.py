"""Which teacher of a config is fitted to, and how to name what came of it."""

from __future__ import annotations

import copy
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Iterator, Optional, Tuple, Type, Union

from mmengine.config import Config, ConfigDict
from mmengine.registry import DefaultScope

from ..datasets.two_stream.views import seeded_rng
from ..engine.building import naming_misspelt
from ..engine.config import has_key
from ..errors import UserError
from ..expand.key import KEY
from ..models.teachers.base import FrozenTeacher
from ..models.teachers.frozen import EXECUTION
from ..utils.files import check_output
from ..utils.kinds import is_kind


def inner_teacher(config: Config) -> Tuple[Any, str]:
    """Returns the config of the teacher itself, without its cache.

    Args:
        config (Config): Any.

    Returns:
        tuple[dict | None, str]: What the config has there, and the option
        that it is: ``model.teacher``, or ``model.teacher.teacher`` of a
        ``CachedTeacher``.
    """
    spec, option = (config.get('model') or {}).get('teacher'), 'model.teacher'
    if is_kind(spec, 'CachedTeacher'):
        return spec.get('teacher'), f'{option}.teacher'
    return spec, option


def seed_of(config: Config) -> int:
    """Returns the seed of a config; 0 if it names none."""
    randomness = config.get('randomness') or {}
    return int(randomness.get('seed', config.get('seed')) or 0)


@contextmanager
def scope_of(config: Config) -> Iterator[None]:
    """Builds what a config names as a run would, the same every time.

    Args:
        config (Config): With its scope, and the seed of random weights.
    """
    scope = config.get('default_scope', 'mmkd_custom')
    with (
        DefaultScope.overwrite_default_scope(scope),
        naming_misspelt(config),
        seeded_rng(seed_of(config)),
    ):
        yield


def teacher_to_fit(
    config: Config,
    wrapper: Type[FrozenTeacher],
    option: str,
    default: str,
    out: Union[str, Path, None] = None,
) -> Tuple[dict, Path]:
    """Returns the config of the teacher to fit to, and the file to write.

    Of a ``CachedTeacher`` it is the teacher inside, and of a ``wrapper`` the
    one inside that, to be run as the wrapper says. The file is tried, to fail
    now and not after hours; whoever writes it makes its folder.

    Args:
        config (Config): With a teacher in its model.
        wrapper (type): ``ProbedTeacher`` or ``AdaptedTeacher``.
        option (str): The wrapper's option that names the file.
        default (str): Name of a file in the config's work directory.
        out (str | Path, optional): The file. Defaults to None, what the
            wrapper's option names, else ``default``.

    Raises:
        UserError: If there is no teacher, or the file cannot be written.
    """
    spec, named = _without(wrapper, config), None
    given, _ = inner_teacher(config)
    if is_kind(given, wrapper.__name__):
        named = given.get(option)
    folder = config.get('work_dir') or Path(
        'work_dirs', Path(config.filename or 'config').stem
    )
    path = Path(out or named or Path(folder, default)).expanduser()
    check_output('--out', path, folder_made=True)
    return spec, path


def usage(
    config: Config,
    wrapper: Type[FrozenTeacher],
    option: str,
    path: Union[str, Path],
) -> str:
    """Returns how a run gets the teacher that was fitted.

    Args:
        config (Config): As for :func:`teacher_to_fit`; a ``CachedTeacher``
            stays around the new teacher.
        wrapper (type): As there.
        option (str): As there.
        path (str | Path): The file that was written.

    Returns:
        str: A line for a config that inherits the one at hand.
    """
    values = {
        'type': f'mmkd_custom.{wrapper.__name__}',
        option: str(path),
        'num_classes': 'auto',
        'teacher': ConfigDict(_without(wrapper, config)).to_dict(),
    }
    items = ', '.join(f'{name}={value!r}' for name, value in values.items())
    line = f'dict(_delete_=True, {items})'
    model, *names = inner_teacher(config)[1].split('.')
    # There the cache is no part of the teacher.
    if config.filename and has_key(config.filename, config.get('cfg_options')):
        model, names = KEY, ['teacher']
    for name in reversed(names):
        line = f'dict({name}={line})'
    return f'In a config that inherits this one:\n\n{model} = {line}'


def _without(wrapper: Type[FrozenTeacher], config: Config) -> dict:
    """Returns the config of the teacher to fit to."""
    spec: Optional[dict] = inner_teacher(config)[0]
    if is_kind(spec, wrapper.__name__):
        run = {k: spec[k] for k in EXECUTION if spec.get(k) is not None}
        # Not unpacked: that would import the objects of a lazy config.
        spec = copy.deepcopy(spec.get('teacher'))
        if isinstance(spec, dict):
            spec.update(run)
    if not isinstance(spec, dict):
        raise UserError(
            'config: model.teacher: expected the config of a teacher, as in '
            'configs/customkd_mbv3_domain_folder.py, got none.'
        )
    return spec
