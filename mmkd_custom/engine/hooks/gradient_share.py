"""Which term pulls how hard at the student's feature?"""

from __future__ import annotations

from typing import Any, Dict

import torch
from mmengine.hooks import Hook
from mmengine.runner import Runner

from ...models.batch import Batch
from ...models.distillers import BaseDistiller
from ...models.options import checked_size
from ...registry import HOOKS
from ...stages import STUDENT
from ..unwrap import unwrapped


@HOOKS.register_module()
class GradientShareHook(Hook):
    """Logs the share that each term has of the student's gradient.

    See :func:`gradient_shares`. They are those of the first process's batch.
    The student becomes the same with the hook as without it, bit for bit; an
    iteration that is measured costs about one more pass from each loss back
    to the feature, not through the encoder. Does nothing for a model without
    stages.

    Args:
        interval (int): Every how many iterations. Defaults to 50.

    Raises:
        UserError: If ``interval`` is not an integer > 0.
    """

    def __init__(self, interval: int = 50) -> None:
        self.interval = checked_size(
            f'{type(self).__name__}.interval', interval
        )

    def before_train_iter(self, runner: Runner, *_: Any, **__: Any) -> None:
        """Has the model measure in this iteration, or not."""
        model = unwrapped(runner)
        if isinstance(model, BaseDistiller):
            due = self.every_n_train_iters(runner, self.interval)
            model.monitor = gradient_shares if due else None

    def after_train(self, runner: Runner) -> None:
        """Leaves the model as it was."""
        model = unwrapped(runner)
        if isinstance(model, BaseDistiller):
            model.monitor = None


def gradient_shares(
    batch: Batch, losses: Dict[str, torch.Tensor]
) -> Dict[str, torch.Tensor]:
    """Measures how hard each weighted term pulls at the student's feature.

    ::

        share_k = |dL_k / df_s| / sum_j |dL_j / df_s|

    with the L2 norm over the batch and all views of the student.

    Args:
        batch (Batch): With what the student has said.
        losses (dict[str, Tensor]): ``loss_<term>``, which is left as it is.

    Returns:
        dict[str, Tensor]: ``share_<term>`` of each term that reaches the
        feature; of feature maps and tokens, say, none does. Nothing where the
        student was not asked.
    """
    features = [
        output.feature
        for who, output in batch.outputs.items()
        if who.partition('@')[0] == STUDENT and output.feature.requires_grad
    ]
    norms = {}
    for name, loss in losses.items():
        # MMEngine takes each key with "loss" in it for a term.
        term = name.partition('loss_')[2]
        if not features or not loss.requires_grad or 'loss' in term:
            continue
        with torch.autocast(loss.device.type, enabled=False):
            parts = torch.autograd.grad(
                loss,
                features,
                # As a loss scaler: float16 has no small gradients.
                torch.full_like(loss, 1024.0),
                retain_graph=True,
                allow_unused=True,
            )
        parts = [part.float().norm() for part in parts if part is not None]
        if parts:
            norms[f'share_{term}'] = torch.stack(parts).norm()
    # Where no term pulls, each has a share of 0.
    total = torch.stack([*norms.values()]).sum() if norms else None
    return {k: norm / total.clamp_min(1e-30) for k, norm in norms.items()}
