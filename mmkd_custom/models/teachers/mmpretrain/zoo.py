"""Which MMPretrain model a config, a name or a path means."""

from __future__ import annotations

import copy
import inspect
from pathlib import Path
from typing import Optional, Tuple, Union

import mmpretrain
from mmengine.config import Config
from mmengine.model import BaseModel
from mmengine.registry import DefaultScope
from mmpretrain import registry
from mmpretrain.apis import ModelHub

from ....errors import UserError, nearest

PREFIX = 'mmpretrain::'


def find_model(model: Union[dict, str]) -> Tuple[Config, str, Optional[str]]:
    """Finds what :class:`MMPretrainTeacher` takes as ``model``.

    Returns:
        tuple: A config whose ``model`` is a copy of the given one (a backbone
        inside a classifier that has nothing else), the model's name, and the
        URL of its weights if one is known.

    Raises:
        UserError: If there is no such name, file or type.
    """
    if not isinstance(model, str):
        config = Config(dict(model=copy.deepcopy(dict(model))))
        kind = config.model.get('type')
        name = kind.__name__ if inspect.isclass(kind) else str(kind)
        return _with_classifier(config, 'model'), name, None
    name = model[len(PREFIX) :] if model.startswith(PREFIX) else model
    if name.endswith('.py'):
        path = Path(name)
        if name != model:
            path = Path(mmpretrain.__file__).parent / '.mim/configs' / name
        if not path.is_file():
            raise UserError(
                f'teacher: expected a config file, got model={model!r}; there '
                f'is no {path}.'
            )
        config = _with_classifier(Config.fromfile(str(path)), f'{path}')
        return config, path.stem, config.get('load_from')
    known = mmpretrain.list_models()
    if name.lower() not in known:
        raise UserError(
            f'teacher: expected a model of MMPretrain, got {name!r}; '
            f'{nearest(name, known)}.'
        )
    entry = ModelHub.get(name)
    return entry.config, name, entry.weights


def _with_classifier(config: Config, source: str) -> Config:
    """Puts a backbone into a classifier that has nothing else."""
    known = registry.MODELS
    kind = (config.get('model') or {}).get('type')
    if not inspect.isclass(kind):
        with DefaultScope.overwrite_default_scope('mmpretrain'):
            found = known.get(str(kind))
        if found is None:
            raise UserError(
                f'teacher: expected {source} of a type that MMPretrain knows, '
                f'got {kind!r}; {nearest(str(kind), known.module_dict)}.'
            )
        kind = found
    if not issubclass(kind, BaseModel):
        config.model = dict(type='ImageClassifier', backbone=config.model)
    return config
