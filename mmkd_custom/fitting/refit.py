"""Fits a student's last layer before its training goes on."""

from __future__ import annotations

from typing import Dict

import numpy as np
import torch
from mmengine.dist import all_reduce
from mmengine.hooks import Hook
from mmengine.runner import Runner

from ..engine.teacher_pass import batches_of, distiller_of
from ..engine.together import by_rank_0
from ..errors import UserError
from ..models.batch import hard_labels
from ..models.distillers import BaseDistiller
from ..models.options import checked_size
from ..registry import HOOKS
from ..stages import STUDENT
from .logistic import fit_probe, stratified_folds
from .propagation import STRENGTHS


@HOOKS.register_module()
class RefitHeadHook(Hook):
    """Fits the student's last layer to the labelled images before step one.

    For a student that starts from features learned without labels
    (``configs/pretrain/``): its last layer is random, and the first steps of
    joint training would spoil the features to suit it. The layer becomes
    logistic regression on the student's standardised features of the first
    view of each labelled image, in eval mode, with the strength of
    regularisation that does best on held-out labelled images. GKD
    (arXiv 2603.02554) trains features first and then the head; that the head
    is fitted at once is ours. A resumed run is left as it is.

    Args:
        batch_size (int): Images the student sees at once. Defaults to 64.

    Raises:
        UserError: If ``batch_size`` is not an integer > 0.
    """

    # After averages have been set up and everything has been loaded.
    priority = 'LOW'

    def __init__(self, batch_size: int = 64) -> None:
        self.batch_size = checked_size(
            f'{type(self).__name__}.batch_size', batch_size
        )

    def before_train(self, runner: Runner) -> None:
        """Fits the layer.

        Raises:
            UserError: If the model distils nothing, a class has no label or
                every class one alone, or a feature is not finite.
        """
        name = type(self).__name__
        model = distiller_of(runner, name)
        if model is None:
            raise UserError(
                f'{name}: expected a distiller with a teacher, got none.'
            )
        if runner.iter:
            return
        features, targets = self._labelled(runner, model)
        layer = model.student_view.classifier
        fit = by_rank_0(lambda: _fit(features, targets, layer.out_features))
        with torch.no_grad():
            layer.weight.copy_(fit['weight'])
            if layer.bias is not None:
                layer.bias.copy_(fit['bias'])
        runner.logger.info(
            f'{name}: the last layer was fitted; of held-out labelled images '
            f'{fit["held_out"]:.1f} % were right'
        )

    @torch.no_grad()
    def _labelled(self, runner: Runner, model: BaseDistiller) -> tuple:
        count = runner.train_dataloader.dataset.num_labelled
        keys = np.stack([np.arange(count), np.zeros(count, int)], 1)
        view = model.student_view
        features = torch.zeros(count, view.feature_dim)
        targets = torch.zeros(count, dtype=torch.long)
        training = model.student.training
        model.student.eval()
        for batch in batches_of(
            runner,
            model,
            keys,
            self.batch_size,
            lambda _: (STUDENT,),
            'features for the last layer',
        ):
            rows = torch.tensor(
                [s.metainfo['sample_idx'] for s in batch.samples]
            )
            said = view.ask(batch, ('feature',)).feature
            features[rows] = said.float().cpu()
            targets[rows] = hard_labels(batch.samples).cpu()
        model.student.train(training)
        # What a rank has not looked at is zero there.
        all_reduce(features)
        all_reduce(targets)
        return features, targets


def _fit(
    features: torch.Tensor, targets: torch.Tensor, classes: int
) -> Dict[str, torch.Tensor]:
    folds = stratified_folds(targets.numpy())
    counts = torch.bincount(targets, minlength=classes)
    if not folds or not counts.all():
        raise UserError(
            'RefitHeadHook: expected labelled images of each class and two '
            f'of some, got {counts.tolist()}.'
        )
    fit = fit_probe(features, targets, folds, grid=STRENGTHS)
    found = fit.tensors
    weight = found['weight'] / found['std']
    bias = found['bias'] - weight @ found['mean']
    return dict(weight=weight, bias=bias, held_out=fit.chosen.held_out)
