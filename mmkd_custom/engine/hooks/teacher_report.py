"""Reports what the teacher is, costs and knows, before training."""

from __future__ import annotations

from typing import Any, Optional, Sequence

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
from ...models.teachers import FrozenTeacher
from ...models.teachers.report import report_text, teacher_report
from ...models.teachers.wrappers.base import check_classes
from ...registry import HOOKS
from ...stages import TEACHER
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
                    f'TeacherReportHook.{name}: expected a whole number '
                    f'>= 1, got {value!r}.'
                )
        self.accuracy = accuracy
        self.max_samples = max_samples
        self.batch_size = batch_size

    def before_train(self, runner: Runner) -> None:
        """Reports once."""
        model = unwrapped(runner)
        if not isinstance(model, BaseDistiller):
            return
        # Workers and transforms draw random numbers.
        with seeded_rng(runner.seed or 0):
            for name, teacher in model.teachers.items():
                if is_main_process():
                    self._report(runner, teacher, model.asked(name))
                if self.accuracy:
                    accuracy = self._accuracy(runner, model, name, teacher)
                    if is_main_process():
                        runner.logger.info(f'Teacher: {accuracy}')

    def _report(
        self, runner: Runner, teacher: FrozenTeacher, wants: Sequence[str]
    ) -> None:
        item = runner.train_dataloader.dataset[0]
        image = item.get('views', {}).get(TEACHER, item['inputs'])
        report = teacher_report(teacher, image.shape[-2:], wants)
        runner.logger.info(report_text(report))

    def _accuracy(
        self,
        runner: Runner,
        model: BaseDistiller,
        name: str,
        teacher: FrozenTeacher,
    ) -> str:
        dataset = runner.train_dataloader.dataset
        reason = _obstacle(model, teacher, dataset)
        if reason is not None:
            return f'accuracy not measured, because {reason}.'
        count = dataset.num_labelled
        taken = min(count, self.max_samples or count)
        # Evenly: folders list their images by class.
        keys = np.array([(i * count // taken, 0) for i in range(taken)])
        right = torch.zeros(2, dtype=torch.float64)
        for samples, output in ask_about(
            runner, model, keys, self.batch_size, (LOGITS,), name
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


def _obstacle(
    model: BaseDistiller, teacher: FrozenTeacher, dataset: Any
) -> Optional[str]:
    """Returns why the accuracy cannot be measured; None if it can."""
    if LOGITS not in teacher.offers:
        return 'the teacher gives no logits'
    classes = model.student_view.num_classes
    if teacher.num_classes != classes:
        return (
            f'the teacher has {teacher.num_classes} classes and the student '
            f'{classes}'
        )
    if not isinstance(dataset, TwoStreamDataset):
        return (
            'train_dataloader.dataset is not a TwoStreamDataset but a '
            f'{type(dataset).__name__}'
        )
    try:
        check_classes(teacher, dataset.CLASSES)
    except UserError as error:
        return str(error).rstrip('.')
    return None
