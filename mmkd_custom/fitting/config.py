"""Which teacher of a config is fitted to, and how to name what came of it."""

from __future__ import annotations

import argparse
import copy
import shlex
from pathlib import Path
from typing import Any, Dict, List, Optional, Tuple, Type, Union

from mmengine.config import Config, ConfigDict, DictAction

from ..errors import UserError
from ..models.teachers.base import FrozenTeacher
from ..utils.files import check_output

#: Options by which a teacher made of another says how that one runs.
_EXECUTION = ('dtype', 'channels_last', 'max_batch', 'compile')


def inner_teacher(config: Config) -> Tuple[Any, str]:
    """Gives the config of the teacher itself, without its cache.

    Args:
        config (Config): Any.

    Returns:
        tuple[dict | None, str]: What the config has there, and the option
        that it is: ``model.teacher``, or ``model.teacher.teacher`` of a
        ``CachedTeacher``.
    """
    spec, option = (config.get('model') or {}).get('teacher'), 'model.teacher'
    if is_type(spec, 'CachedTeacher'):
        return spec.get('teacher'), f'{option}.teacher'
    return spec, option


def teacher_to_fit(
    config: Config,
    wrapper: Type[FrozenTeacher],
    option: str,
    default: str,
    out: Union[str, Path, None] = None,
) -> Tuple[dict, Path]:
    """Gives the config of the teacher to fit to, and the file to write.

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

    Returns:
        tuple[dict, Path]: Both.

    Raises:
        UserError: If there is no teacher, or the file cannot be written.
    """
    spec = _without(wrapper, config)
    if out is None:
        given, _ = inner_teacher(config)
        out = given.get(option) if is_type(given, wrapper.__name__) else None
    if out is None:
        folder = config.get('work_dir') or Path(
            'work_dirs', Path(config.filename or 'config').stem
        )
        out = Path(folder, default)
    path = Path(out).expanduser()
    check_output('--out', path, folder_made=True)
    return spec, path


def _without(wrapper: Type[FrozenTeacher], config: Config) -> dict:
    """Gives the config of the teacher to fit to."""
    spec, _ = inner_teacher(config)
    if is_type(spec, wrapper.__name__):
        run = {k: spec[k] for k in _EXECUTION if spec.get(k) is not None}
        # Not unpacked: that would import the objects of a lazy config.
        spec = copy.deepcopy(spec.get('teacher'))
        if isinstance(spec, dict):
            spec.update(run)
    if not isinstance(spec, dict):
        raise UserError(
            'config: its model has no teacher, but one is wanted, as in '
            'configs/customkd_mbv3_domain_folder.py.'
        )
    return spec


def is_type(part: Any, *names: str) -> bool:
    """Says whether a part of a config is of a type, however it names it.

    Args:
        part (Any): A teacher or hook, say: its config, or the object.
        *names (str): Names of classes.

    Returns:
        bool: Whether it is of one of them, named bare, with a scope, or as
        the class of a lazy config.
    """
    kind = part.get('type') if isinstance(part, dict) else type(part)
    name = kind if isinstance(kind, str) else getattr(kind, '__name__', '')
    return name.rpartition('.')[2] in names


def seed_of(config: Config) -> int:
    """Gives the seed of a config; 0 if it names none."""
    randomness = config.get('randomness') or {}
    return int(randomness.get('seed', config.get('seed')) or 0)


def usage(
    config: Config,
    wrapper: Type[FrozenTeacher],
    option: str,
    path: Union[str, Path],
) -> str:
    """Says how a run gets the teacher that was fitted.

    Args:
        config (Config): As for :func:`teacher_to_fit`; a ``CachedTeacher``
            stays around the new teacher.
        wrapper (type): As there.
        option (str): As there.
        path (str | Path): The file that was written.

    Returns:
        str: A line for a config that inherits the one at hand, and arguments
        for its command line where all values can be given there.
    """
    plain = {
        'type': f'mmkd_custom.{wrapper.__name__}',
        option: str(path),
        'num_classes': 'auto',
        'teacher': ConfigDict(_without(wrapper, config)).to_dict(),
    }
    items = ', '.join(f'{name}={value!r}' for name, value in plain.items())
    line = f'dict(_delete_=True, {items})'
    _, place = inner_teacher(config)
    model, *names = place.split('.')
    for name in reversed(names):
        line = f'dict({name}={line})'
    text = f'In a config that inherits this one:\n\n{model} = {line}'
    options = _options({'_delete_': True, **plain}, place)
    if options is None:
        return text
    return f'{text}\n\nOr on the command line:\n\n--cfg-options {options}'


def _options(teacher: Dict[str, Any], place: str) -> Optional[str]:
    """Writes a teacher for ``--cfg-options``; None if that loses a value."""
    flat = _flat(teacher, place)
    # MMEngine's parser takes blanks away, cuts at commas, and never ends on
    # a dictionary in a list.
    if any(set(' ,()[]{}\'"') & set(text) for text in _texts(flat)):
        return None
    given = [f'{name}={value}' for name, value in flat.items()]
    parser = argparse.ArgumentParser()
    parser.add_argument('--options', nargs='+', action=DictAction)
    if parser.parse_args(['--options', *given]).options != flat:
        return None
    return shlex.join(given)


def _texts(flat: Dict[str, Any]) -> List[str]:
    """Every value that is no number, and no list of numbers."""
    values = []
    for value in flat.values():
        values += value if isinstance(value, (list, tuple)) else [value]
    return [str(v) for v in values if not isinstance(v, (int, float))]


def _flat(node: Dict[str, Any], prefix: str) -> Dict[str, Any]:
    flat = {}
    for name, value in node.items():
        name = f'{prefix}.{name}'
        if isinstance(value, dict) and value:
            flat.update(_flat(value, name))
        else:
            flat[name] = value
    return flat
