"""The classes of the labelled images, wherever the config counts them."""

from __future__ import annotations

from typing import Any, Iterator, Optional

from mmengine.config import Config

from ..engine.config_data import AUTO, labelled_dataset
from ..engine.console import begin_log


def set_classes(config: Config) -> None:
    """Has the config count the classes of the labelled images, in place.

    A config for ImageNet has 1000 of them, and its metrics count a hit among
    the best 5, of which a dataset of three classes has none.

    Args:
        config (Config): With the student's images in ``train_dataloader``,
            and the distiller as model.
    """
    said = _said(config.model.student)
    dataset = labelled_dataset(config)
    classes = dataset and dataset.metainfo.get('classes')
    if not classes:
        return
    count = len(classes)
    for part in _parts(config):
        if said is not None and part.get('num_classes') == said:
            part['num_classes'] = count
        topk = part.get('topk')
        if isinstance(topk, (list, tuple)):
            part['topk'] = tuple(k for k in topk if k <= count) or (1,)
        elif isinstance(topk, int) and topk > count:
            part['topk'] = 1
    if said not in (None, AUTO, count):
        begin_log(
            config,
            f'distill: num_classes is {count}, as the labelled images have '
            f'it, not {said}.',
        )


def _said(student: dict) -> Optional[Any]:
    """Returns how many classes a student's config says it has."""
    for owner in (student.get('head'), student, student.get('backbone')):
        if isinstance(owner, dict) and 'num_classes' in owner:
            return owner['num_classes']
    return None


def _parts(config: Config) -> Iterator[dict]:
    """Yields each dict that may count the student's classes."""
    for name in (
        'data_preprocessor',
        'val_evaluator',
        'test_evaluator',
    ):
        yield from _dicts(config.get(name))
    yield from _dicts(config.model.student)


def _dicts(node: Any) -> Iterator[dict]:
    if isinstance(node, dict):
        yield node
        node = list(node.values())
    if isinstance(node, (list, tuple)):
        for value in node:
            yield from _dicts(value)
