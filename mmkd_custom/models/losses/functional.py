"""What several losses compute."""

from __future__ import annotations

import torch
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


def class_indices(loss: str, target: Tensor, logits: Tensor) -> Tensor:
    """Returns the class of each sample, negative for none, as int64.

    Args:
        loss (str): Name of the loss, for the error.
        target (Tensor): What came; integers (N,) are expected.
        logits (Tensor): (N, C) that they belong to.

    Raises:
        UserError: If they are no indices of the N samples and C classes.
    """
    found = f'{target.dtype} of shape {tuple(target.shape)}'
    if target.shape == logits.shape[:1] and target.dtype in _INTEGERS:
        # On a device such a class stops the run by itself; looking at it
        # would have the host wait in every step.
        if target.is_cuda or target.max() < logits.shape[1]:
            return target.long()
        found += f' with class {target.max().item()}'
    raise UserError(
        f'{loss}: expected class indices of logits {tuple(logits.shape)}, got '
        f'{found}.'
    )


_INTEGERS = (torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64)
