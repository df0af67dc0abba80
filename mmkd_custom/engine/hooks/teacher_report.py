"""Reports what the teacher is, costs and knows, before training."""

from __future__ import annotations

from contextlib import contextmanager
from typing import Any, Iterator, Optional, Sequence

import numpy as np
import torch
from mmengine.dist import all_reduce, is_main_process
from mmengine.hooks import Hook
from mmengine.runner import Runner

from ...datasets import TwoStreamDataset
from ...datasets.two_stream.views import seeded_rng
from ...errors import UserError
from ...models.batch import hard_labels
from ...models.distillers import BaseDistiller
from ...models.outputs import LOGITS
from ...models.teachers.report import report_text, teacher_report
from ...models.teachers.wrappers.base import check_classes
from ...registry import HOOKS
from ..teacher_pass import ask_about
from ..unwrap import unwrapped


@HOOKS.register_module()
class TeacherReportHook(Hook):
    """Logs :func:`~mmkd_custom.models.teachers.report.teacher_report`.

    Also the teacher's top-1 accuracy on one view of labelled training images,
    if its classes are those of the dataset. Neither the
    weights nor the random numbers of the run are touched: with the hook and
    without it, the student becomes the same, bit for bit. Does nothing for a
    model without a teacher.

    Args:
        accuracy (bool): Whether the accuracy is measured. Defaults to True.
        max_samples (int, optional): Most labelled images it is measured on,
            taken evenly from all; None takes all. Defaults to 2000.
        batch_size (int): Images the teacher sees at once. Defaults to 64.

    Raises:
        UserError: If a number is not positive.
    """

    # After StandardizeTeacherHook (HIGH, 30): it may read what that cached.
    priority = 35

    def __init__(
        self,
        accuracy: bool = True,
        max_samples: Optional[int] = 2000,
        batch_size: int = 64,
    ) -> None:
        for name, value in dict(
            max_samples=max_samples, batch_size=batch_size
        ).items():
            if value is not None and value < 1:
                raise UserError(
                    f'TeacherReportHook: {name}={value!r}, but a whole '
                    'number >= 1 is wanted.'
                )
        self.accuracy = accuracy
        self.max_samples = max_samples
        self.batch_size = batch_size

    def before_train(self, runner: Runner) -> None:
        """Reports once."""
        model = unwrapped(runner)
        if not isinstance(model, BaseDistiller):
            return
        dataset = runner.train_dataloader.dataset
        # Workers and transforms draw random numbers.
        with seeded_rng(runner.seed or 0):
            if is_main_process():
                item = dataset[0]
                image = item.get('teacher_inputs', item['inputs'])
                report = teacher_report(
                    model.teacher, image.shape[-2:], model.teacher_wants
                )
                runner.logger.info(report_text(report))
            if not self.accuracy:
                return
            accuracy = self._accuracy(runner, model, dataset)
            if is_main_process():
                runner.logger.info(f'Teacher: {accuracy}')

    def _accuracy(
        self, runner: Runner, model: BaseDistiller, dataset: Any
    ) -> str:
        reason = _obstacle(model, dataset)
        if reason is not None:
            return f'accuracy not measured, because {reason}.'
        count = dataset.num_labelled
        taken = min(count, self.max_samples or count)
        # Evenly: folders list their images by class.
        keys = np.array([(i * count // taken, 0) for i in range(taken)])
        right = torch.zeros(2, dtype=torch.float64)
        with _asking_for(model, (LOGITS,)):
            for samples, output in ask_about(
                runner, model, keys, self.batch_size
            ):
                labels = hard_labels(samples)
                guesses = output.logits.argmax(1).cpu()
                right += torch.tensor(
                    [(guesses == labels.cpu()).sum(), len(labels)]
                )
        all_reduce(right)
        return (
            f'{100 * right[0] / right[1]:.2f} % top-1 on one view of '
            f'{int(right[1])} of {count} labelled training images.'
        )


@contextmanager
def _asking_for(model: BaseDistiller, wants: Sequence[str]) -> Iterator[None]:
    """Has the distiller ask its teacher for something else."""
    usual = model.teacher_wants
    model.teacher_wants = tuple(wants)
    try:
        yield
    finally:
        model.teacher_wants = usual


def _obstacle(model: BaseDistiller, dataset: Any) -> Optional[str]:
    """Says why the accuracy cannot be measured; None if it can."""
    teacher = model.teacher
    if LOGITS not in teacher.offers:
        return 'the teacher gives no logits'
    wanted = model.student_view.num_classes
    if teacher.num_classes != wanted:
        return (
            f'the teacher has {teacher.num_classes} classes and the student '
            f'{wanted}'
        )
    if not isinstance(dataset, TwoStreamDataset):
        return (
            f'train_dataloader.dataset is a {type(dataset).__name__} and no '
            'TwoStreamDataset'
        )
    try:
        check_classes(teacher, dataset.CLASSES)
    except UserError as error:
        return str(error).rstrip('.')
    return None
