"""Numbers of classes that must agree, compared before the first step."""

from __future__ import annotations

from typing import Any, Iterable, Iterator, Optional, Tuple

import torch.nn as nn
from mmengine.model import BaseTTAModel
from mmengine.runner import BaseLoop, Runner
from mmpretrain.evaluation import Accuracy
from mmpretrain.models.classifiers import BaseClassifier

from ..errors import UserError
from ..models.distillers.base import BaseDistiller
from .unwrap import unwrapped


def check_class_counts(runner: Runner) -> None:
    """Compares the number of classes of model, losses and metrics.

    A metric of others fails after the first epoch only.

    Args:
        runner (Runner): With what it runs through built.

    Raises:
        UserError: If two numbers differ, or a ``topk`` is larger than that of
            the classes; the sentence names the option.
    """
    model = unwrapped(runner)
    classes, option = classes_of(model)
    model = model.module if isinstance(model, BaseTTAModel) else model
    if classes is None:
        return
    for other, count in _others(model):
        if count != classes:
            raise UserError(
                f'{other}={count}, but {option} is {classes}; give the '
                "same number, or 'auto'."
            )
    head = getattr(model, 'head', None)
    if getattr(head, 'cal_acc', False):
        _check_topk(head.topk, 'model.head', classes)
    for name in ('val', 'test'):
        loop = getattr(runner, f'_{name}_loop')
        if isinstance(loop, BaseLoop):
            for metric in loop.evaluator.metrics:
                _check_metric(metric, f'{name}_evaluator', classes)


def classes_of(model: nn.Module) -> Tuple[Optional[int], str]:
    """Finds how many classes a model tells apart.

    Args:
        model (nn.Module): The model of a runner, without what distributes it.

    Returns:
        tuple[int | None, str]: The number, None if the model does not tell,
        and the option that sets it.
    """
    model = model.module if isinstance(model, BaseTTAModel) else model
    option, plain = 'model.', model
    if isinstance(model, BaseDistiller):
        option, plain = 'model.student.', model.student
    # A head has it, or the network itself, of timm's too.
    owners = {
        'head.': getattr(plain, 'head', None),
        'backbone.': getattr(plain, 'backbone', None),
        '': getattr(plain, 'model', None),
    }
    for where, owner in owners.items():
        count = getattr(owner, 'num_classes', None)
        if _is_count(count):
            option += where
            break
    if isinstance(model, BaseDistiller):
        count = model.student_view.num_classes
    elif not isinstance(model, BaseClassifier):
        count = None
    return count if _is_count(count) else None, option + 'num_classes'


def _others(model: nn.Module) -> Iterator[Tuple[str, int]]:
    """Gives the options that repeat the number of classes."""
    own = model.data_preprocessor
    count = getattr(own, 'num_classes', None)
    # Nobody else reads it.
    mixes = getattr(own, 'to_onehot', False) or getattr(
        own, 'batch_augments', None
    )
    if _is_count(count) and mixes:
        yield 'data_preprocessor.num_classes', count
    # A distiller has looked at its student's loss already.
    for owner, where in ((model, ''), (getattr(model, 'head', None), 'head.')):
        loss = getattr(owner, 'loss_module', None)
        count = getattr(loss, 'num_classes', None)
        if _is_count(count):
            yield f'model.{where}loss.num_classes', count


def _check_metric(metric: Any, option: str, classes: int) -> None:
    name = type(metric).__name__
    count = getattr(metric, 'num_classes', None)
    if _is_count(count) and count != classes:
        raise UserError(
            f'{option}: num_classes={count} of {name}, but the model has '
            f'{classes} classes.'
        )
    if isinstance(metric, Accuracy):
        _check_topk(metric.topk, option, classes)


def _check_topk(topk: Iterable[Any], option: str, classes: int) -> None:
    for k in topk:
        if not isinstance(k, int) or not 1 <= k <= classes:
            raise UserError(
                f'{option}: topk={k!r}, but a whole number from 1 to '
                f'{classes}, the number of classes, is wanted.'
            )


def _is_count(value: object) -> bool:
    return isinstance(value, int) and value > 0
