"""Standardises the teacher's feature by statistics of the training images."""

from __future__ import annotations

from typing import Union

import torch
from mmengine.dist import all_reduce, broadcast
from mmengine.hooks import Hook
from mmengine.runner import Runner

from ...errors import UserError
from ...models.distillers import BaseDistiller
from ...models.options import checked_size
from ...models.outputs import FEATURE
from ...models.teachers import FrozenTeacher
from ...models.teachers.standardization import hadamard, principal_basis
from ...registry import HOOKS
from ..teacher_pass import ask_about, distiller_of, every_sample

HADAMARD = 'hadamard'


@HOOKS.register_module()
class StandardizeTeacherHook(Hook):
    """Takes each dimension of the teacher's feature to mean 0, variance 1.

    The statistics are those of one view of every training image of
    every stream, and are computed before training; a resumed run computes the
    same. A weight of a feature term then means the same for every teacher.
    Does nothing for a model without a teacher or that does not ask for its
    feature.

    Args:
        batch_size (int): Images the teacher sees at once. Defaults to 64.
        rotate (bool | str): Whether the dimensions become the principal
            directions of the feature, that of most variance first, and all
            are divided by one number, so that only the mean of their
            variances is 1. What ``SpecMatch`` needs. 'hadamard' mixes these
            directions, so that each dimension has variance 1 and all errors
            count alike (PHI-S, arXiv 2410.01680, for several teachers):
            y = H U^T (x - mean) / phi, phi^2 the mean of the variances, H an
            orthonormal Hadamard matrix, which the width has to have.
            Defaults to False.

    Raises:
        UserError: If an option has no such value, or the width no such
            matrix.
    """

    # After TeacherCacheHook (20): the statistics are those of what the cache
    # gives, before TeacherReportHook (35) asks for more.
    priority = 'HIGH'

    def __init__(
        self, batch_size: int = 64, rotate: Union[bool, str] = False
    ) -> None:
        self.batch_size = checked_size(
            f'{type(self).__name__}.batch_size', batch_size
        )
        if rotate not in (True, False, HADAMARD):
            raise UserError(
                f'{type(self).__name__}.rotate: expected True, False or '
                f'{HADAMARD!r}, got {rotate!r}.'
            )
        self.rotate = rotate

    def before_train(self, runner: Runner) -> None:
        """Computes the statistics and hands them to the teachers."""
        model = distiller_of(runner, type(self).__name__)
        if model is None:
            return
        for name, teacher in model.teachers.items():
            if FEATURE in model.asked(name, any_view=True):
                self._standardize(runner, model, name, teacher)

    def _standardize(
        self,
        runner: Runner,
        model: BaseDistiller,
        name: str,
        teacher: FrozenTeacher,
    ) -> None:
        # Measured on the feature as it is, also when training starts twice.
        teacher.feature_mean = teacher.feature_std = None
        width = teacher.feature_dim
        count = torch.zeros(1, dtype=torch.float64)
        total = torch.zeros(width, dtype=torch.float64)
        # Of each dimension with itself or, to rotate, with every other.
        sizes = (width, width) if self.rotate else (width,)
        products = torch.zeros(sizes, dtype=torch.float64)
        keys = every_sample(runner.train_dataloader.dataset, [0])
        for _, output in ask_about(
            runner, model, keys, self.batch_size, (FEATURE,), name
        ):
            # float64: a difference of large sums follows.
            feature = output.feature.double().cpu()
            count += len(feature)
            total += feature.sum(0)
            products += (
                feature.T @ feature if self.rotate else feature.square().sum(0)
            )
        for values in (count, total, products):
            all_reduce(values)
        mean = total / count
        if self.rotate:
            said = _rotate(
                teacher, mean, products / count, self.rotate == HADAMARD
            )
        else:
            variance = (products / count - mean.square()).clamp_min(0)
            teacher.standardize(mean, variance.sqrt())
            said = 'feature standardised'
        runner.logger.info(
            f'Teacher {teacher.name}: {said} by one view of '
            f'{int(count)} training images.'
        )


def _rotate(
    teacher: FrozenTeacher,
    mean: torch.Tensor,
    products: torch.Tensor,
    mixed: bool,
) -> str:
    """Hands over the principal basis; says how many axes matter."""
    covariance = products - torch.outer(mean, mean)
    basis, variances = principal_basis(covariance)
    if mixed:
        matrix = hadamard(len(mean))
        if matrix is None:
            raise UserError(
                f'StandardizeTeacherHook.rotate: expected a feature whose '
                f'width has a Hadamard matrix, such as 384 or 768, got '
                f'{len(mean)} of {teacher.name}.'
            )
        basis = (basis @ matrix.T).contiguous()
    # Machines may differ in the last bit, and axes of equal variance by far.
    broadcast(basis)
    scale = covariance.diagonal().mean().clamp_min(0).sqrt()
    teacher.standardize(mean, scale.expand(len(mean)), basis)
    if mixed:
        return 'feature rotated so that each dimension has variance 1'
    shares = variances.cumsum(0) / variances.sum()
    most = int((shares < 0.9).sum()) + 1
    return (
        f'feature rotated to its {len(mean)} principal directions, of which '
        f'the first {most} have 90 % of the variance,'
    )
