"""A student whose layers are products of two thin ones (PELA)."""

from __future__ import annotations

from typing import Optional, Tuple

import torch
import torch.nn as nn

from ..errors import UserError
from ..registry import MODELS
from .options import checked_positive
from .student import Student
from .teachers.weights import load_state_dict, load_strict


@MODELS.register_module()
def LowRankStudent(
    model: dict,
    checkpoint: Optional[str] = None,
    ratio: float = 2.0,
    input_size: int = 224,
) -> nn.Module:
    r"""Builds a classifier, and splits its linear layers by their SVD.

    A weight W (d_o, d_i) becomes B A of rank

    .. math:: r = \lfloor d_i d_o / (\rho (d_i + d_o)) \rfloor,

    the nearest of this rank, with a :math:`\rho`-th of the numbers (PELA,
    arXiv 2310.10700): linear layers and 1x1 convolutions but for the last
    linear layer, which the student is split at, and those for which r is 0.
    The student then learns the features of the whole network, whose
    ``student.pth`` is ``checkpoint`` here and the teacher's weights. Ours:
    A and B share the singular values; the paper's bound on how far weights
    may move is left out. What ships is this student, of the same config but
    without ``checkpoint``, and no plain one of MMPretrain's.

    Args:
        model (dict): Config of any MMPretrain classifier.
        checkpoint (str, optional): Weights of that classifier. Defaults to
            None, random ones.
        ratio (float): :math:`\rho`, at least 1. Defaults to 2.0.
        input_size (int): Pixels of a dry run. Defaults to 224.

    Returns:
        nn.Module: The classifier.

    Raises:
        UserError: If ``ratio`` is below 1, or the weights do not fit.
    """
    if checked_positive('LowRankStudent.ratio', ratio) < 1:
        raise UserError(
            f'LowRankStudent.ratio: expected at least 1, got {ratio!r}.'
        )
    whole = MODELS.build(model)
    last = Student(whole, input_size=input_size).classifier
    whole.init_weights()
    if checkpoint is not None:
        load_strict(whole, *load_state_dict(checkpoint))
    for parent in [*whole.modules()]:
        for name, layer in [*parent.named_children()]:
            if layer is not last:
                setattr(parent, name, split_layer(layer, ratio))
    return whole


def split_layer(layer: nn.Module, ratio: float) -> nn.Module:
    """Returns the two layers that stand for one; others as they are."""
    pointwise = type(layer) is nn.Conv2d and (
        layer.kernel_size == (1, 1) and layer.groups == 1
    )
    if not pointwise and type(layer) is not nn.Linear:
        return layer
    rank = rank_of(*layer.weight.shape[:2], ratio)
    if rank == 0:
        return layer
    second, first = factors(layer.weight.detach().flatten(1), rank)
    (d_out, d_in), bias = layer.weight.shape[:2], layer.bias is not None
    if pointwise:
        place = dict(stride=layer.stride, padding=layer.padding)
        pair = nn.Sequential(
            nn.Conv2d(d_in, rank, 1, bias=False, **place),
            nn.Conv2d(rank, d_out, 1, bias=bias),
        )
    else:
        pair = nn.Sequential(
            nn.Linear(d_in, rank, bias=False), nn.Linear(rank, d_out, bias)
        )
    with torch.no_grad():
        for mine, found in zip(pair, (first, second)):
            mine.weight.copy_(found.view_as(mine.weight))
        if bias:
            pair[1].bias.copy_(layer.bias)
    return pair


def rank_of(d_out: int, d_in: int, ratio: float) -> int:
    """Returns r; 0 where two layers would not be smaller than one."""
    return int(d_in * d_out / (ratio * (d_in + d_out)))


def factors(
    weight: torch.Tensor, rank: int
) -> Tuple[torch.Tensor, torch.Tensor]:
    """Returns B (d_o, r) and A (r, d_i), whose product is nearest to W."""
    u, values, v = torch.linalg.svd(weight.double(), full_matrices=False)
    roots = values[:rank].sqrt()
    found = u[:, :rank] * roots, roots[:, None] * v[:rank]
    return found[0].to(weight), found[1].to(weight)
