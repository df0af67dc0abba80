"""Logs how alike the features of student and teacher are, epoch by epoch."""

from __future__ import annotations

from typing import Any, Dict, Optional

import numpy as np
import torch
from mmengine.dist import is_main_process
from mmengine.hooks import Hook
from mmengine.runner import BaseLoop, Runner

from ..engine.teacher_pass import distiller_of
from ..engine.unwrap import unwrapped
from ..errors import UserError
from ..models.outputs import FEATURE
from ..registry import HOOKS
from ..stages import STUDENT, TEACHER
from .asking import features_of

#: What the scalars' names begin with, and the customized feature's.
PREFIX, CUSTOMIZED = 'cka_', 'cka_customized'


def linear_cka(first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
    r"""Computes the linear centred kernel alignment of two features.

    .. math:: \mathrm{CKA}(X, Y) = \frac{\|Y^\top X\|_F^2}
        {\|X^\top X\|_F \, \|Y^\top Y\|_F},

    with the columns of :math:`X` and :math:`Y` centred (Kornblith et al.,
    ICML 2019, arXiv 1905.00414). It is 1 for features that are alike up to a
    rotation and a scale, and needs no equal widths. Few images in many
    dimensions look alike whatever they are: compare values of equally many.

    Args:
        first (Tensor): (N, D).
        second (Tensor): (N, E) of the same images.

    Returns:
        Tensor: Scalar in [0, 1], float64; NaN if either is the same for all
        images.
    """
    grams = []
    for feature in (first, second):
        centred = feature.double() - feature.double().mean(0)
        # (N, D) -> (N, N): ||Y^T X||_F^2 = <X X^T, Y Y^T>.
        gram = centred @ centred.T
        grams.append(gram / gram.norm())
    return (grams[0] * grams[1]).sum()


@HOOKS.register_module()
class FeatureSimilarityHook(Hook):
    """Logs the linear CKA of the student's feature with the teacher's.

    After each evaluation, on the same training images every time: the scalar
    ``cka_teacher`` (``cka_<name>`` of one of several teachers), and
    ``cka_customized`` of CustomKD's customized feature. The student is the
    one that was evaluated, an averaged one if an ``EMAHook`` keeps it.
    Neither weights, caches nor random numbers of the run are touched: with
    the hook and without it, the student becomes the same, bit for bit. The
    first process alone is asked. Does nothing for a model without a teacher.
    ``tools/analyze.py`` draws the scalars.

    Args:
        samples (int): Training images, drawn once from all streams; all if
            these are fewer. Defaults to 512.

    Raises:
        UserError: If ``samples`` is less than 3.
    """

    # After the hooks that see to teachers (20, 30); after an evaluation before
    # EMAHook (NORMAL) takes the average out of the model, and before
    # LoggerHook (BELOW_NORMAL) writes the scalars.
    priority = 'ABOVE_NORMAL'

    def __init__(self, samples: int = 512) -> None:
        if type(samples) is not int or samples < 3:
            raise UserError(
                'FeatureSimilarityHook.samples: expected a whole number >= 3, '
                f'got {samples!r}.'
            )
        self.samples = samples
        self._indices: Optional[np.ndarray] = None
        self._taught: Dict[str, torch.Tensor] = {}

    def before_train(self, runner: Runner) -> None:
        """Draws the images.

        Raises:
            UserError: If the images that the teacher gets are not those of a
                TwoStreamDataset, or are mixed with each other.
        """
        self._indices, self._taught = None, {}
        if distiller_of(runner, type(self).__name__) is None:
            return
        count = len(runner.train_dataloader.dataset)
        rng = np.random.default_rng(0)
        taken = rng.choice(count, min(self.samples, count), replace=False)
        self._indices = np.sort(taken)

    def after_val_epoch(
        self, runner: Runner, metrics: Optional[Dict[str, Any]] = None
    ) -> None:
        """Asks, and adds the scalars to those of the evaluation."""
        # A run that only validates has no training images.
        if self._indices is None or not is_main_process():
            return
        if not isinstance(runner._train_loop, BaseLoop):
            return
        model, loader = unwrapped(runner).eval(), runner.train_dataloader
        # Teachers are frozen, so once is enough.
        names = [n for n, t in model.teachers.items() if FEATURE in t.offers]
        said = features_of(
            loader.dataset,
            model,
            self._indices,
            [STUDENT, *(() if self._taught else names)],
            workers=loader.num_workers,
        )
        student = said.pop(STUDENT)
        self._taught.update(said)
        others = {f'{PREFIX}{n}': f for n, f in self._taught.items()}
        projection = getattr(model, 'teacher_projection', None)
        if projection is not None:
            device = next(projection.parameters()).device
            with torch.no_grad():
                feature = projection(self._taught[TEACHER].to(device))
            others[CUSTOMIZED] = feature.cpu()
        for name, feature in others.items():
            value = float(linear_cka(student, feature))
            runner.message_hub.update_scalar(f'val/{name}', value)
