"""Which network a student's name means, and what it starts from."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict, Optional, Tuple

import mmpretrain
import timm
from mmpretrain.apis import ModelHub

from ..errors import UserError, nearest
from ..expand.classes import recount
from ..utils.files import load_checkpoint
from .reach import KEPT, web_file

DEFAULT = 'mobilenet-v3-small'
#: What a student may start from, besides a file.
AUTO, NONE = 'auto', 'none'
#: Statistics of ImageNet's pixels.
PIXELS = dict(
    mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375], to_rgb=True
)


@dataclass
class Student:
    """A student's config.

    Args:
        name (str): What the user called it.
        model (dict): The classifier, as MMPretrain builds it.
        preprocessor (dict): Its ``data_preprocessor``.
        pretrained (bool): Whether it starts from weights.
        why (str): From which, half a sentence.
    """

    name: str
    model: Dict[str, Any]
    preprocessor: Dict[str, Any]
    pretrained: bool
    why: str


def find_student(name: str, num_classes: int, weights: str = AUTO) -> Student:
    """Finds a student by its name.

    Args:
        name (str): Of MMPretrain's model zoo, where what follows the first
            underscore may be left out (``mobilenet-v3-small``,
            ``resnet18``); or ``timm/NAME``.
        num_classes (int): Number of classes.
        weights (str): 'none' starts from scratch, a path from that file,
            'auto' from ImageNet's where they can be had. Defaults to 'auto'.

    Raises:
        UserError: If there is no such network or file.
    """
    if weights not in (AUTO, NONE):
        load_checkpoint(Path(weights).expanduser())
    if name.startswith('timm/'):
        return _of_timm(name, num_classes, weights)
    entry = ModelHub.get(_zoo_name(name.removeprefix('mmpretrain/')))
    model = copy.deepcopy(entry.config.model.to_dict())
    backbone, head = model.get('backbone') or {}, model.get('head') or {}
    if 'num_classes' not in head:
        raise UserError(
            f'student: expected a classifier, got {entry.name!r}, which has '
            'no head with classes.'
        )
    # The loss may count them too.
    recount(model, head['num_classes'], num_classes)
    # Top-5 of two classes cannot be told.
    head.pop('topk', None)
    # Mixed images have no place in the teacher's cache.
    model.pop('train_cfg', None)
    source, why = _source(weights, entry.weights)
    backbone.pop('init_cfg', None)
    if source is not None:
        backbone['init_cfg'] = dict(
            type='Pretrained', checkpoint=source, prefix='backbone'
        )
    elif backbone.get('type') == 'MobileNetV3':
        # MMPretrain's momentum of 0.01 is meant for hundreds of epochs: in a
        # short run the running statistics would lag behind the weights.
        backbone['norm_cfg'] = dict(type='BN', eps=1e-3, momentum=0.1)
    pixels = entry.config.get('data_preprocessor') or PIXELS
    return Student(
        name=name,
        model=model,
        preprocessor=dict(
            {key: pixels[key] for key in PIXELS if key in pixels},
            num_classes=num_classes,
        ),
        pretrained=source is not None,
        why=why,
    )


def _zoo_name(name: str) -> str:
    known = mmpretrain.list_models()
    if name in known:
        return name
    fitting = [one for one in known if one.partition('_')[0] == name]
    # Trained on ImageNet alone, by MMPretrain itself, before others.
    fitting.sort(
        key=lambda one: (
            not one.endswith('_in1k'),
            '-pre_' in one,
            '3rdparty' in one,
            len(one),
            one,
        )
    )
    if not fitting:
        short = sorted({one.partition('_')[0] for one in known})
        raise UserError(
            'student: expected a name of the model zoo of MMPretrain, or '
            f'timm/NAME, got {name!r} ({nearest(name, short)}).'
        )
    return fitting[0]


def _of_timm(name: str, num_classes: int, weights: str) -> Student:
    inner = name[len('timm/') :]
    if not timm.is_model(inner):
        raise UserError(
            f'student: expected a network of timm, got {name!r} '
            f'({nearest(inner, timm.list_models())}).'
        )
    model = dict(
        type='TimmClassifier', model_name=inner, num_classes=num_classes
    )
    source, why = None, 'from scratch'
    if weights not in (AUTO, NONE):
        source, why = weights, f'from {weights}'
        model['checkpoint_path'] = str(Path(weights).expanduser().resolve())
    elif weights == AUTO:
        why += '; --student-weights FILE starts from timm weights'
    return Student(
        name=name,
        model=dict(model, loss=dict(type='CrossEntropyLoss')),
        preprocessor=dict(PIXELS, num_classes=num_classes),
        pretrained=source is not None,
        why=why,
    )


def _source(weights: str, url: Optional[str]) -> Tuple[Optional[str], str]:
    """Returns what to start from, None for nothing, and why."""
    if weights == NONE:
        return None, 'from scratch, as asked for'
    if weights != AUTO:
        path = Path(weights).expanduser().resolve()
        return str(path), f'from {weights}'
    how = web_file(url) if url else None
    if how is None:
        return None, 'from scratch: its ImageNet weights cannot be had here'
    where = how if how == KEPT else 'which are fetched now'
    return url, f'from its ImageNet weights, {where}'
