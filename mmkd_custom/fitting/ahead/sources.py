"""How well does each source model suit the labelled images?"""

from __future__ import annotations

from typing import Dict, List

import numpy as np
import torch
from mmengine.hooks import Hook
from mmengine.runner import Runner
from scipy.stats import spearmanr

from ...engine.teacher_pass import distiller_of
from ...engine.together import by_rank_0
from ...errors import UserError
from ...models.distillers import Distiller
from ...models.distillers.weights import SourceWeight
from ...models.options import checked_positive, checked_size
from ...models.teachers.wrappers.shares import power_shares
from ...registry import HOOKS
from .labelled import labelled_features


def parc(features: torch.Tensor, labels: torch.Tensor) -> float:
    r"""Returns PARC (arXiv 2111.06977) of features for a task.

    Spearman's rank correlation, over all pairs of images, of 1 - Pearson's
    correlation of their features and of their one-hot labels: 1 where images
    of one class are alike and others are not.

    Args:
        features (Tensor): (N, D), N > 2.
        labels (Tensor): Class index (N,), of two classes at least.

    Returns:
        float: In [-1, 1]; 0 for features that are all alike.
    """
    x = features.double()
    x = x - x.mean(1, keepdim=True)
    x = x / x.norm(dim=1, keepdim=True).clamp_min(1e-12)
    rows, columns = np.tril_indices(len(x), -1)
    far = (1 - x @ x.T).numpy()[rows, columns]
    other = (labels[:, None] != labels).numpy()[rows, columns]
    if not far.std() or not other.std():
        return 0.0
    return float(spearmanr(far, other).statistic)


@HOOKS.register_module()
class WeighSourcesHook(Hook):
    r"""Weighs terms by how well their teachers suit the labelled images.

    Terms with ``weight=dict(type='SourceWeight', weight=…)`` get

    .. math:: \alpha_s = \rho_s^p / \sum_k \rho_k^p

    of that weight, rho being :func:`parc` of the teacher on a term's right
    side, and 0 where it is negative (DistillWeighted; with large p
    DistillNearest). Before the first step the teachers are asked
    about view 0 of the labelled images, or their caches read where these keep
    the feature (``outputs=['feature', 'logits']``); a resumed run finds the
    same.

    Args:
        power (float): p. Defaults to 12.0.
        images (int): Labelled images that count, drawn with the run's
            seed. Defaults to 500.
        batch_size (int): Images a teacher sees at once. Defaults to 64.

    Raises:
        UserError: If a number has no such value.
    """

    # After TeacherCacheHook (20).
    priority = 'HIGH'

    def __init__(
        self, power: float = 12.0, images: int = 500, batch_size: int = 64
    ) -> None:
        name = type(self).__name__
        self.power = checked_positive(f'{name}.power', power)
        self.images = checked_size(f'{name}.images', images)
        self.batch_size = checked_size(f'{name}.batch_size', batch_size)

    def before_train(self, runner: Runner) -> None:
        """Weighs the terms.

        Raises:
            UserError: If no term asks for it, or one has no teacher on its
                right.
        """
        name = type(self).__name__
        model = distiller_of(runner, name)
        terms = _weighted(model) if isinstance(model, Distiller) else {}
        if not terms:
            raise UserError(
                f'{name}: expected terms with '
                "weight=dict(type='SourceWeight'), got none."
            )
        chosen = by_rank_0(lambda: self._chosen(runner))
        found = [
            labelled_features(runner, model, teacher, self.batch_size, chosen)
            for teacher in terms
        ]
        fits = by_rank_0(lambda: [parc(*each) for each in found])
        shares = power_shares([max(fit, 0.0) for fit in fits], self.power)
        for weights, share in zip(terms.values(), shares.tolist()):
            for weight in weights:
                weight.share = share
        said = ', '.join(
            f'{teacher} {share:.4f} (PARC {fit:.4f})'
            for teacher, share, fit in zip(terms, shares.tolist(), fits)
        )
        runner.logger.info(f'{name}: shares of the teachers: {said}')

    def _chosen(self, runner: Runner) -> np.ndarray:
        total = runner.train_dataloader.dataset.num_labelled
        order = np.random.RandomState(runner.seed or 0).permutation(total)
        return np.sort(order[: self.images])


def _weighted(model: Distiller) -> Dict[str, List[SourceWeight]]:
    """Returns the weights that wait for a share, by teacher."""
    found: Dict[str, List[SourceWeight]] = {}
    for stage in model.schedule.stages:
        for name, term in model.terms(stage.name).items():
            if not isinstance(term.weight, SourceWeight):
                continue
            if term.right.network not in model.teachers:
                raise UserError(
                    f'terms.{name}.weight: expected one of the teachers '
                    f'{", ".join(model.teachers)} on the right side of a '
                    f'term with a SourceWeight, got {term.right}.'
                )
            found.setdefault(term.right.network, []).append(term.weight)
    return found
