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
from ..models.distillers import BaseDistiller
from ..models.outputs import FEATURE
from ..registry import HOOKS
from ..stages import STUDENT, TEACHER
from .asking import features_of
from .similarity import linear_cka

#: What the scalars' names begin with, and the customized feature's.
PREFIX, CUSTOMIZED = 'cka_', 'cka_customized'


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
        seed (int): Seed of the draw. Defaults to 0.
        batch_size (int): Images seen at once. Defaults to 64.

    Raises:
        UserError: If an option is out of range.
    """

    # After the hooks that see to teachers (20, 30); after an evaluation before
    # EMAHook (NORMAL) takes the average out of the model, and before
    # LoggerHook (BELOW_NORMAL) writes the scalars.
    priority = 'ABOVE_NORMAL'

    def __init__(
        self, samples: int = 512, seed: int = 0, batch_size: int = 64
    ) -> None:
        for name, value, least in (
            ('samples', samples, 3),
            ('seed', seed, 0),
            ('batch_size', batch_size, 1),
        ):
            if not isinstance(value, int) or value < least:
                raise UserError(
                    f'FeatureSimilarityHook.{name}: expected a whole number '
                    f'>= {least}, got {value!r}.'
                )
        self.samples, self.seed = samples, seed
        self.batch_size = batch_size
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
        rng = np.random.default_rng(self.seed)
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
        model = unwrapped(runner)
        model.eval()
        student = self._ask(runner, model, [STUDENT])[STUDENT]
        if not self._taught:
            # Frozen, so once is enough.
            names = [n for n, t in model.teachers.items() if _offers(t)]
            self._taught = self._ask(runner, model, names)
        for name, feature in self._taught.items():
            self._log(runner, f'{PREFIX}{name}', student, feature)
        projection = getattr(model, 'teacher_projection', None)
        if projection is not None:
            device = next(projection.parameters()).device
            with torch.no_grad():
                feature = projection(self._taught[TEACHER].to(device)).cpu()
            self._log(runner, CUSTOMIZED, student, feature)

    def _ask(
        self, runner: Runner, model: BaseDistiller, who: list
    ) -> Dict[str, torch.Tensor]:
        loader = runner.train_dataloader
        return features_of(
            loader.dataset,
            model,
            self._indices,
            who,
            self.batch_size,
            loader.num_workers,
        )

    def _log(
        self,
        runner: Runner,
        name: str,
        student: torch.Tensor,
        other: torch.Tensor,
    ) -> None:
        value = float(linear_cka(student, other))
        runner.message_hub.update_scalar(f'val/{name}', value)


def _offers(teacher: Any) -> bool:
    return FEATURE in teacher.offers
