"""BatchNorm's statistics as a mean over given images."""

from __future__ import annotations

from typing import Callable, Iterable, List, Tuple

import torch
import torch.nn as nn
from mmengine.dist import all_reduce
from torch.nn.modules.batchnorm import _BatchNorm


def batch_norms(model: nn.Module) -> List[_BatchNorm]:
    """Lists the BatchNorm layers that keep running statistics."""
    return [
        module
        for module in model.modules()
        if isinstance(module, _BatchNorm) and module.running_mean is not None
    ]


@torch.no_grad()
def recompute(
    model: nn.Module,
    batches: Iterable[torch.Tensor],
    forward: Callable[[torch.Tensor], object],
) -> None:
    r"""Sets running statistics to those of all batches of all ranks.

    Each layer normalises a batch b by the batch's own mean and variance, as
    in training, and is left with

    .. math::
        \mu = \frac{\sum_b m_b \mu_b}{M}, \quad
        \sigma^2 = \frac{M}{M - 1} \left(
        \frac{\sum_b m_b (\sigma_b^2 + \mu_b^2)}{M} - \mu^2 \right), \quad
        M = \sum_b m_b,

    the mean and variance of its m_b inputs a channel in all batches together
    (PreciseBN, arXiv 2105.07576, weighted by the sizes of the batches). All
    but BatchNorm is in evaluation mode: no dropout, no dropped paths. Layers
    that nothing reaches stay as they are.

    Args:
        model (nn.Module): Its layers are changed in place.
        batches (Iterable[Tensor]): This rank's, whatever ``forward`` takes.
            A rank may have none.
        forward (Callable): Runs the model on a batch.
    """
    layers = batch_norms(model)
    # Count, sum of m_b mu_b, sum of m_b (sigma_b^2 + mu_b^2).
    sums = {
        layer: torch.zeros(
            1 + 2 * layer.num_features,
            dtype=torch.float64,
        )
        for layer in layers
    }

    def watch(layer: _BatchNorm, inputs: Tuple[torch.Tensor, ...]) -> None:
        x = inputs[0].float()
        dims = (0, *range(2, x.ndim))
        var, mean = torch.var_mean(x, dims, correction=0)
        # In evaluation mode these are what the batch is normalised by: a
        # synchronised layer waits for no other rank, and nothing is computed
        # twice.
        layer.running_mean.copy_(mean)
        layer.running_var.copy_(var)
        count = x.numel() // x.shape[1]
        # float64: a difference of large sums follows.
        mean, var = mean.cpu().double(), var.cpu().double()
        sums[layer] += count * torch.cat(
            [mean.new_ones(1), mean, var + mean.square()]
        )

    training = model.training
    model.eval()
    handles = [layer.register_forward_pre_hook(watch) for layer in layers]
    before = {
        layer: (layer.running_mean.clone(), layer.running_var.clone())
        for layer in layers
    }
    try:
        for batch in batches:
            forward(batch)
    finally:
        for handle in handles:
            handle.remove()
        model.train(training)
    for layer, total in sums.items():
        all_reduce(total)
        _keep(layer, total, before[layer])


def _keep(
    layer: _BatchNorm,
    total: torch.Tensor,
    before: Tuple[torch.Tensor, torch.Tensor],
) -> None:
    count = total[0]
    if count == 0:
        layer.running_mean.copy_(before[0])
        layer.running_var.copy_(before[1])
        return
    mean, square = (total[1:] / count).chunk(2)
    variance = (square - mean.square()).clamp_min(0)
    layer.running_mean.copy_(mean)
    layer.running_var.copy_(variance * (count / (count - 1).clamp_min(1)))


def copy_statistics(source: nn.Module, target: nn.Module) -> None:
    """Copies running statistics to a module of the same structure."""
    for theirs, mine in zip(batch_norms(source), batch_norms(target)):
        mine.running_mean.copy_(theirs.running_mean)
        mine.running_var.copy_(theirs.running_var)
