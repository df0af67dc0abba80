"""Teachers by short names: ``timm/…``, ``open_clip/…``, and others."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Callable, Dict

import timm

from ..errors import UserError, nearest
from .key import Key
from .shipped import scoped


def teacher_config(key: Key) -> dict:
    """Returns the config of the teacher that a key names.

    Args:
        key (Key): The key.

    Returns:
        dict: What ``model.teacher`` takes, in a cache if there is to be one.

    Raises:
        UserError: If the name has a prefix that is none, or does not say
            which network it is.
    """
    config = (
        scoped(key.teacher)
        if isinstance(key.teacher, dict)
        else _named(key.teacher)
    )
    if 'type' not in config:
        raise UserError(
            'distill.teacher: expected a dict with a type, such as '
            f"dict(type='TimmTeacher', …), got {config!r}."
        )
    if key.teacher_size is not None:
        # A probe or an adaptation has none: it is of the network inside.
        inner = config
        while isinstance(inner.get('teacher'), dict):
            inner = inner['teacher']
        inner['input_size'] = key.teacher_size
    if not key.cache:
        return config
    cached = dict(type='mmkd_custom.CachedTeacher', teacher=config)
    if isinstance(key.cache, str):
        cached['cache_dir'] = key.cache
    return cached


def _named(name: str) -> dict:
    prefix, _, rest = name.partition('/')
    if prefix not in PREFIXES or not rest:
        known = [f'{known}/…' for known in PREFIXES]
        raise UserError(
            f'distill.teacher: expected {", ".join(known)} or a dict, got '
            f'{name!r} ({nearest(prefix, PREFIXES)}).'
        )
    return PREFIXES[prefix](rest)


def _timm(name: str) -> dict:
    return dict(
        type='mmkd_custom.TimmTeacher', model_name=name, pretrained=True
    )


def _open_clip(name: str) -> dict:
    name, _, tag = name.partition(':')
    return dict(
        type='mmkd_custom.OpenCLIPTeacher',
        model_name=name,
        # True is the only tag that a model has.
        pretrained=tag or True,
    )


def _mmpretrain(name: str) -> dict:
    return dict(
        type='mmkd_custom.MMPretrainTeacher', model=name, pretrained=True
    )


def _file(name: str) -> dict:
    """Weights of a timm network, whose name is told beside them."""
    path, _, network = name.partition(':')
    file = Path(path).expanduser()
    if not file.is_file():
        raise UserError(
            f'distill.teacher: expected file/ and an existing file, got '
            f'{path!r}.'
        )
    return dict(
        type='mmkd_custom.TimmTeacher',
        model_name=network or _network_of(file),
        checkpoint=str(file),
    )


def _network_of(file: Path) -> str:
    """Finds which network a file is of, as timm's own folders tell it."""
    described = file.with_name('config.json')
    try:
        told = json.loads(described.read_text(encoding='utf-8'))
        return str(told['architecture'])
    except (OSError, ValueError, KeyError, TypeError):
        pass
    if timm.is_model(file.stem.split('.')[0]):
        return file.stem
    raise UserError(
        f'distill.teacher: expected the name of the network of {file}, as '
        "'file/PATH:NAME', as the file's own name or as the architecture in "
        'a config.json beside it, got none that timm knows.'
    )


PREFIXES: Dict[str, Callable[[str], Dict[str, Any]]] = dict(
    timm=_timm, open_clip=_open_clip, mmpretrain=_mmpretrain, file=_file
)
