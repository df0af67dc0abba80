"""What several losses compute."""

from __future__ import annotations

from typing import Optional, Sequence, Tuple

import torch
import torch.nn.functional as F
from mmengine.dist import all_reduce
from torch import Tensor

from ...errors import UserError


def softmax_divergence(student: Tensor, teacher: Tensor) -> Tensor:
    """Computes KL(softmax(teacher) || softmax(student)) of each row.

    Args:
        student (Tensor): Logits (..., C).
        teacher (Tensor): Logits (..., C).

    Returns:
        Tensor: (...), in nats.
    """
    log_teacher = teacher.log_softmax(dim=-1)
    difference = log_teacher - student.log_softmax(dim=-1)
    return (log_teacher.exp() * difference).sum(dim=-1)


def class_indices(loss: str, target: Tensor, shape: Sequence[int]) -> Tensor:
    """Returns the class of each sample, negative for none, as int64.

    Args:
        loss (str): Name of the loss, for the error.
        target (Tensor): What came; integers (N,) are expected.
        shape (Sequence[int]): N and the number of classes C.

    Raises:
        UserError: If they are no indices of N samples and C classes.
    """
    found = f'{target.dtype} of shape {tuple(target.shape)}'
    if target.shape == (shape[0],) and target.dtype in _INTEGERS:
        # On a device such a class stops the run by itself; looking at it
        # would have the host wait in every step.
        if target.is_cuda or target.max() < shape[1]:
            return target.long()
        found += f' with class {target.max().item()}'
    raise UserError(
        f'{loss}: expected class indices of {shape[0]} samples and {shape[1]} '
        f'classes, got {found}.'
    )


def one_hot(loss: str, target: Optional[Tensor], logits: Tensor) -> Tensor:
    """Returns labels as rows, zero where there is none.

    Args:
        loss (str): As in :func:`class_indices`.
        target (Tensor, optional): Likewise; None is no label.
        logits (Tensor): (N, C) that they belong to.

    Returns:
        Tensor: (N, C).
    """
    if target is None:
        return torch.zeros_like(logits)
    target = class_indices(loss, target, logits.shape).unsqueeze(1)
    classes = torch.arange(logits.shape[1], device=logits.device)
    return (target == classes).to(logits.dtype)


def taught_classes(
    loss: str, target: Optional[Tensor], teacher: Tensor
) -> Tensor:
    """Returns labels (N,), the teacher's argmax where there is none.

    Args:
        loss (str): As in :func:`class_indices`.
        target (Tensor, optional): Likewise; None is no label.
        teacher (Tensor): Logits (N, C).
    """
    argmax = teacher.argmax(dim=1)
    if target is None:
        return argmax
    target = class_indices(loss, target, teacher.shape)
    return torch.where(target < 0, argmax, target)


def target_and_others(
    logits: Tensor, classes: Tensor
) -> Tuple[Tensor, Tensor]:
    """Splits logits into (target, all others) and the others.

    Softmax of the former gives the two masses, softmax of the latter the
    others renormalised; neither forms 1 - p, which is lost to rounding where
    p is near 1.

    Args:
        logits (Tensor): (N, C) with C > 1.
        classes (Tensor): The target class of each (N,).

    Returns:
        tuple[Tensor, Tensor]: (N, 2) and (N, C - 1).
    """
    classes = classes.unsqueeze(1)
    # 0 .. C-1 without the target, in order: (C - 1, ) -> (N, C - 1)
    rest = torch.arange(logits.shape[1] - 1, device=logits.device)
    others = logits.gather(1, rest + (rest >= classes).long())
    masses = [logits.gather(1, classes), others.logsumexp(1, keepdim=True)]
    return torch.cat(masses, 1), others


def only(values: Tensor, counts: Tensor) -> Tensor:
    """Scales values so that their mean is that of those that count.

    Picking rows out would have the host wait for the device.

    Args:
        values (Tensor): (N,).
        counts (Tensor): Which count (N,), bool.

    Returns:
        Tensor: (N,), zero where it does not count.
    """
    share = len(counts) / counts.sum().clamp_min(1).to(values.dtype)
    return values * (counts * share)


def summed(rows: Tensor) -> Tensor:
    """Sums rows (N, ...) over the batches of all processes, detached."""
    total = rows.detach().sum(0)
    all_reduce(total)
    return total


def mean_of_all(rows: Tensor) -> Tensor:
    """Averages rows (N, ...) over the batches of all processes, detached."""
    return summed(rows) / summed(rows.new_ones(len(rows)))


def channels_last(output: Tensor) -> Tensor:
    """(N, C, h, w) -> (N, h, w, C); (N, D) and (N, L, D) as they are."""
    return output.movedim(1, -1) if output.dim() == 4 else output


def as_tokens(output: Tensor) -> Tensor:
    """(N, C, h, w) -> (N, h * w, C); (N, L, D) as they are."""
    return output.flatten(2).mT if output.dim() == 4 else output


def unit(rows: Tensor) -> Tensor:
    """Divides rows (..., D) by their L2 norm.

    The gradient at a dead (all-zero) row is 1 / eps: F.normalize has 1e-12,
    which overflows once it is cast back to float16.
    """
    return F.normalize(rows, dim=-1, eps=1e-4)


def standardized(rows: Tensor, eps: float = 1e-5) -> Tensor:
    """BatchNorm without affine: columns of (N, D) get mean 0, variance 1."""
    rows = rows - rows.mean(0)
    return rows * (rows.square().mean(0) + eps).rsqrt()


_INTEGERS = (torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64)
