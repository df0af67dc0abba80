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
    for part in (
        config.get('data_preprocessor'),
        config.get('val_evaluator'),
        config.get('test_evaluator'),
        config.model.student,
    ):
        recount(part, said, count)
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


def recount(node: Any, said: Optional[Any], count: int) -> None:
    """Has a part of a config count other classes, in place.

    A head's loss may count them too, and metrics are told how many answers
    of an image are looked at.

    Args:
        node (Any): The part.
        said (int, optional): How many classes it has by now; None leaves
            them.
        count (int): How many there are.
    """
    for part in _dicts(node):
        if said is not None and part.get('num_classes') == said:
            part['num_classes'] = count
        topk = part.get('topk')
        if isinstance(topk, (list, tuple)):
            part['topk'] = tuple(k for k in topk if k <= count) or (1,)
        elif isinstance(topk, int) and topk > count:
            part['topk'] = 1


def _dicts(node: Any) -> Iterator[dict]:
    if isinstance(node, dict):
        yield node
        node = list(node.values())
    if isinstance(node, (list, tuple)):
        for value in node:
            yield from _dicts(value)
