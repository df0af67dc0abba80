"""Refuses to train or test where two lists of classes differ."""

from __future__ import annotations

from typing import Any, Dict, Iterable, Iterator, Optional, Sequence, Tuple

import numpy as np
import torch.nn as nn
from mmengine.evaluator import DumpResults
from mmengine.hooks import Hook
from mmengine.model import BaseTTAModel
from mmengine.runner import BaseLoop, Runner
from mmpretrain.evaluation import Accuracy
from mmpretrain.models.classifiers import BaseClassifier

from ...datasets.two_stream.streams import check_classes
from ...datasets.wrappers import leaves
from ...errors import UserError
from ...models.distillers import BaseDistiller
from ...models.outputs import LOGITS
from ...models.teachers.wrappers.base import check_classes as check_teacher
from ...registry import HOOKS
from ...utils.class_names import class_difference
from ..unwrap import unwrapped

_LOOPS = ('train', 'val', 'test')


@HOOKS.register_module()
class ClassesHook(Hook):
    """Compares the class names of all that a run brings together.

    The training dataset, those it is evaluated on, the checkpoint and the
    teacher, if logits are asked of it: a prediction is the number of a class,
    and where it stands for another one, an accuracy is a wrong number. Of a
    dataset without class names the range of its labels is looked at, and one
    without labels is no dataset to be evaluated on.
    """

    # Before any hook works for minutes, or takes weights of the checkpoint.
    priority = 'VERY_HIGH'

    def before_run(self, runner: Runner) -> None:
        """Checks datasets and teacher.

        Raises:
            UserError: If classes differ, a label is out of range, or a
                dataset that metrics are computed on has no labels.
        """
        datasets = _datasets(runner)
        first = next(iter(datasets), None)
        _check_counts(runner)
        counted = _classes_of(unwrapped(runner))
        for name, dataset in datasets.items():
            places = (f'the {first} dataset', f'the {name} dataset')
            check_classes(datasets[first], dataset, places)
            _check_labels(name, dataset, *counted)
            if name != 'train':
                _check_evaluation(runner, name, dataset)
        if first == 'train':
            _check_teachers(unwrapped(runner), datasets[first])

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Checks what the checkpoint says its classes are.

        Raises:
            UserError: If they are others than the dataset's. A run may start
                from weights of another number of classes.
        """
        datasets = _datasets(runner)
        first = next(iter(datasets), None)
        ours = first and _classes(datasets[first])
        meta = checkpoint.get('meta') or {}
        names = meta.get('dataset_meta') or meta
        # As MMPretrain's forerunner called them.
        theirs = names.get('classes') or names.get('CLASSES')
        if not ours or not theirs:
            return
        starts = first == 'train' and not runner._resume
        if starts and len(ours) != len(theirs):
            return
        differs = class_difference(
            theirs, ours, ('the checkpoint', f'the {first} dataset')
        )
        if differs and starts:
            # Another task of as many classes.
            runner.logger.warning(f'{runner._load_from}: {differs}.')
        elif differs:
            raise UserError(
                f'checkpoint {runner._load_from}: expected the same classes '
                f'in the same order, got others: {differs}.'
            )


def _datasets(runner: Runner) -> Dict[str, Any]:
    """Returns the datasets of the loops that were built, training first."""
    found = {}
    for name in _LOOPS:
        # MMEngine builds a loop when it is to run.
        loop = getattr(runner, f'_{name}_loop')
        dataset = getattr(getattr(loop, 'dataloader', None), 'dataset', None)
        if isinstance(loop, BaseLoop) and dataset is not None:
            found[name] = getattr(dataset, 'labelled', dataset)
    return found


def _classes(dataset: Any) -> Optional[Sequence[str]]:
    return (getattr(dataset, 'metainfo', None) or {}).get('classes')


def _check_labels(
    name: str, dataset: Any, count: Optional[int], option: str
) -> None:
    """Compares a dataset with the number of classes of the model."""
    classes = _classes(dataset)
    if count is None or not hasattr(dataset, 'get_data_info'):
        return
    if classes is not None:
        if len(classes) != count:
            raise UserError(
                f'{option}: expected {len(classes)}, as many as the {name} '
                f"dataset has, got {count}; give that number, or 'auto'."
            )
        return
    for leaf in leaves(dataset):
        _check_range(name, leaf, count, option)


def _check_range(name: str, dataset: Any, count: int, option: str) -> None:
    for index in range(len(dataset)):
        label = dataset.get_data_info(index).get('gt_label')
        if label is None or isinstance(label, dict):
            return
        if np.size(label) and not 0 <= np.min(label) <= np.max(label) < count:
            raise UserError(
                f'{option}: expected labels from 0 to {count - 1}, got '
                f'{label} of image {index} of the {name} dataset.'
            )


def _check_evaluation(runner: Runner, name: str, dataset: Any) -> None:
    """Leaves of a dataset without any label its predictions alone."""
    if not (hasattr(dataset, 'get_data_info') and len(dataset)) or any(
        key.startswith('gt_') for key in dataset.get_data_info(0)
    ):
        return
    evaluator = getattr(runner, f'_{name}_loop').evaluator
    dumps = [m for m in evaluator.metrics if isinstance(m, DumpResults)]
    if not dumps:
        raise UserError(
            f'{name}_evaluator: expected labels in the {name} dataset, got '
            'none; tools/test.py --out FILE.pkl writes predictions without.'
        )
    evaluator.metrics = dumps
    runner.logger.warning(
        f'The {name} dataset has no labels: predictions only, no metrics.'
    )


def _check_teachers(model: Any, dataset: Any) -> None:
    classes = _classes(dataset)
    if not isinstance(model, BaseDistiller) or classes is None:
        return
    names = dataset.metainfo.get('class_names')
    for name, teacher in model.teachers.items():
        if LOGITS in model.asked(name, any_view=True):
            check_teacher(teacher, classes, prompts=names)


def _check_counts(runner: Runner) -> None:
    """Compares the number of classes of model, losses and metrics.

    A metric of others fails after the first epoch only.
    """
    model = unwrapped(runner)
    classes, option = _classes_of(model)
    model = model.module if isinstance(model, BaseTTAModel) else model
    if classes is None:
        return
    for other, count in _others(model):
        if count != classes:
            raise UserError(
                f'{other}: expected {classes}, as {option} says, got {count}; '
                "give the same number, or 'auto'."
            )
    head = getattr(model, 'head', None)
    if getattr(head, 'cal_acc', False):
        _check_topk(head.topk, 'model.head', classes)
    for name in ('val', 'test'):
        loop = getattr(runner, f'_{name}_loop')
        if isinstance(loop, BaseLoop):
            for metric in loop.evaluator.metrics:
                _check_metric(metric, f'{name}_evaluator', classes)


def _classes_of(model: nn.Module) -> Tuple[Optional[int], str]:
    """Finds how many classes a model tells apart, and the option for it."""
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
        count = model.student_view.num_classes if model.classifies else None
    elif not isinstance(model, BaseClassifier):
        count = None
    return count if _is_count(count) else None, option + 'num_classes'


def _others(model: nn.Module) -> Iterator[Tuple[str, int]]:
    """Yields the options that repeat the number of classes."""
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
            f'{option}: expected num_classes={classes} of {name}, as the '
            f'model has, got {count}.'
        )
    if isinstance(metric, Accuracy):
        _check_topk(metric.topk, option, classes)


def _check_topk(topk: Iterable[Any], option: str, classes: int) -> None:
    for k in topk:
        if not isinstance(k, int) or not 1 <= k <= classes:
            raise UserError(
                f'{option}: expected topk from 1 to {classes}, the number of '
                f'classes, got {k!r}.'
            )


def _is_count(value: object) -> bool:
    return isinstance(value, int) and value > 0
