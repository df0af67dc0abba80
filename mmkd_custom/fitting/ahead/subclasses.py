"""Means and directions of pseudo-subclasses, from a teacher's features."""

from __future__ import annotations

from typing import Dict, Tuple

import torch
from mmengine.hooks import Hook
from mmengine.runner import Runner

from ...engine.teacher_pass import distiller_of
from ...engine.together import by_rank_0
from ...engine.unwrap import unwrapped
from ...errors import UserError
from ...models.distillers import BaseDistiller
from ...models.networks import SubclassHead
from ...models.options import checked_size
from ...models.teachers.wrappers.probed import NONE
from ...registry import HOOKS
from ..logistic import fit_linear
from .labelled import labelled_features


def subclass_directions(
    features: torch.Tensor, labels: torch.Tensor, count: int, c: float = 1.0
) -> Tuple[torch.Tensor, torch.Tensor]:
    """Finds what tells the images of a class apart, but no classes.

    Args:
        features (Tensor): h (N, D).
        labels (Tensor): Class index (N,); each of 0 … C - 1 is there.
        count (int): S, directions a class.
        c (float): Inverse strength of regularisation of the classifier off
            whose row space the directions are. Defaults to 1.0.

    Returns:
        tuple[Tensor, Tensor]: Means (C, D) and directions (C, S, D), each
        divided by the deviation along it; zero where a class has too few
        images for one.
    """
    fitted, _ = fit_linear(features, labels, c, NONE)
    weight = fitted['weight'].double()
    # Rows of right singular vectors of a singular value that is none.
    _, sizes, rows = torch.linalg.svd(weight, full_matrices=False)
    rows = rows[sizes > 1e-6 * sizes[0].clamp_min(1e-12)]
    classes, width = weight.shape
    means = torch.zeros(classes, width, dtype=torch.float64)
    directions = torch.zeros(classes, count, width, dtype=torch.float64)
    for label in range(classes):
        own = features[labels == label].double()
        means[label] = own.mean(0)
        centred = own - means[label]
        centred = centred - centred @ rows.T @ rows
        _, values, found = torch.linalg.svd(centred, full_matrices=False)
        spread = values / len(own) ** 0.5
        known = int((spread[:count] > 1e-6 * own.std()).sum())
        signs = found.gather(1, found.abs().argmax(1, keepdim=True)).sign()
        scaled = found * signs / spread.clamp_min(1e-12)[:, None]
        directions[label, :known] = scaled[:known]
    return means.float(), directions.float()


@HOOKS.register_module()
class SubclassHook(Hook):
    """Fills every :class:`~mmkd_custom.models.networks.SubclassHead`.

    Before the first step the teacher is asked about view 0 of the labelled
    images, or its cache read, see :func:`subclass_directions`; what is found
    is in the checkpoints.

    Args:
        batch_size (int): Images the teacher sees at once. Defaults to 64.

    Raises:
        UserError: If ``batch_size`` is not an integer > 0.
    """

    # After StandardizeTeacherHook (HIGH): in the units that the run has.
    priority = 31

    def __init__(self, batch_size: int = 64) -> None:
        self.batch_size = checked_size(
            f'{type(self).__name__}.batch_size', batch_size
        )

    def before_train(self, runner: Runner) -> None:
        """Finds the directions, unless the run is resumed.

        Raises:
            UserError: If there is no such head, or a class without images.
        """
        model, name = unwrapped(runner), type(self).__name__
        heads: Dict[str, SubclassHead] = {
            key: network
            for key, network in getattr(model, 'networks', {}).items()
            if isinstance(network, SubclassHead)
        }
        if not heads:
            raise UserError(
                f'{name}: expected a SubclassHead in networks, got none.'
            )
        if runner.iter:
            return
        distiller_of(runner, name)
        for key, head in heads.items():
            self._fill(runner, model, key, head)

    def _fill(
        self,
        runner: Runner,
        model: BaseDistiller,
        key: str,
        head: SubclassHead,
    ) -> None:
        features, labels = labelled_features(
            runner, model, head.teacher, self.batch_size
        )
        classes = len(head.means)
        if not torch.bincount(labels, minlength=classes).all():
            raise UserError(
                f'networks.{key}: expected labelled images of each class, got '
                f'{torch.bincount(labels, minlength=classes).tolist()}.'
            )
        head.fill(
            *by_rank_0(
                lambda: subclass_directions(features, labels, head.subclasses)
            )
        )
        found = int(head.directions.any(2).sum())
        runner.logger.info(
            f'{type(self).__name__}: {found} of '
            f'{classes * head.subclasses} directions of {key} found in '
            f'{len(labels)} labelled images.'
        )
