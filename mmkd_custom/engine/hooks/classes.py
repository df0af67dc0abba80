"""Refuses to train or test where two lists of classes differ."""

from __future__ import annotations

from typing import Any, Dict, Optional, Sequence

import numpy as np
from mmengine.evaluator import DumpResults
from mmengine.hooks import Hook
from mmengine.runner import BaseLoop, Runner

from ...datasets.prompt_names import prompt_names
from ...datasets.two_stream.streams import check_classes
from ...datasets.wrappers import leaves
from ...errors import UserError
from ...models.distillers import BaseDistiller
from ...models.outputs import LOGITS
from ...models.teachers.wrappers.base import check_classes as check_teacher
from ...registry import HOOKS
from ...utils.class_names import class_difference
from ..class_counts import check_class_counts, classes_of
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
            UserError: If classes differ, a label is out of range, or metrics
                are wanted of a dataset without labels.
        """
        datasets = _datasets(runner)
        first = next(iter(datasets), None)
        check_class_counts(runner)
        counted = classes_of(unwrapped(runner))
        for name, dataset in datasets.items():
            places = (f'the {first} dataset', f'the {name} dataset')
            check_classes(datasets[first], dataset, places)
            _check_labels(name, dataset, *counted)
            if name != 'train':
                _check_evaluation(runner, name, dataset)
        if first == 'train':
            _check_teacher(unwrapped(runner), datasets[first])

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
                f'checkpoint {runner._load_from}: {differs}; weights of the '
                'same classes in the same order are wanted.'
            )


def _datasets(runner: Runner) -> Dict[str, Any]:
    """Gives the datasets of the loops that were built, training first."""
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
            f'the {name} dataset has no labels, but the metrics of '
            f'{name}_evaluator want them; tools/test.py --out FILE.pkl '
            'writes predictions without.'
        )
    evaluator.metrics = dumps
    runner.logger.warning(
        f'The {name} dataset has no labels: predictions only, no metrics.'
    )


def _check_teacher(model: Any, dataset: Any) -> None:
    classes = _classes(dataset)
    if not isinstance(model, BaseDistiller) or classes is None:
        return
    known = list(dataset.metainfo.get('class_names') or prompt_names(classes))
    compared = []
    for name, teacher in model.teachers.items():
        if LOGITS in model.asked(name):
            check_teacher(teacher, classes)
            compared += [teacher, *getattr(teacher, 'teachers', ())]
    for teacher in compared:
        # Prompts may name a class otherwise: only their order can be told.
        names = prompt_names(getattr(teacher, 'class_names', None) or ())
        for number, name in enumerate(names):
            if name in known and name not in known[number : number + 1]:
                raise UserError(
                    f'teacher {teacher.name}: class_names[{number}] is '
                    f'{name!r}, which is class {known.index(name)} of the '
                    "labelled dataset; give them in the dataset's order "
                    "(class_names='auto')."
                )
