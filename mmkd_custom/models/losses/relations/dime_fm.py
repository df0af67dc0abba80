"""DIME-FM's losses: is the student as similar to others as the teacher is?

All compare rows of similarities between L2-normalised features, times the
logit scale 100 of CLIP and divided by a temperature, by KL(teacher || student)
without a factor of the squared temperature (arXiv 2303.18232). The rows are
those of all processes, gradients included: every process computes the loss of
the whole batch, and the mean of their gradients, which DDP takes, is the
gradient of one process that has all rows. They are parts of
:class:`~mmkd_custom.models.distillers.DIMEFM` and of no term: one of them
compares with texts as well.
"""

from __future__ import annotations

from typing import Optional

import torch
from mmengine.dist import get_world_size
from torch import Tensor
from torch.distributed.nn.functional import all_gather

from ....errors import UserError
from ...options import checked_positive
from ..base import Loss
from ..functional import softmax_divergence, unit


class _Similarities(Loss):
    """Similarities within a batch of all processes.

    Args:
        temperature (float): What similarities are divided by.
        scale (float): What they are multiplied with.
    """

    def __init__(self, temperature: float, scale: float = 100.0) -> None:
        super().__init__()
        name = type(self).__name__
        self.temperature = checked_positive(f'{name}.temperature', temperature)
        self.scale = checked_positive(f'{name}.scale', scale)

    def similarities(self, left: Tensor, right: Tensor) -> Tensor:
        """Compares normalised rows (N, D) and (M, D); logits (N, M)."""
        return left @ right.T * (self.scale / self.temperature)


class VisionLanguageKL(_Similarities):
    """DIME-FM's L_vl: similarities of images and texts, both ways.

    ::

        L = KL(t_I t_T^T || s_I t_T^T) + KL(t_T t_I^T || t_T s_I^T)

    each the mean over its rows. Images and texts need not be pairs, nor as
    many.

    Args:
        temperature (float): Defaults to 1.0.
        scale (float): Defaults to 100.0.

    Raises:
        UserError: If an option is not a finite number > 0.
    """

    def __init__(self, temperature: float = 1.0, scale: float = 100.0) -> None:
        super().__init__(temperature, scale)

    def per_sample(
        self, student: Tensor, teacher: Tensor, target: Optional[Tensor]
    ) -> Tensor:
        """Computes the scalar; ``target`` are features of texts (M, D)."""
        if target is None or target.shape[1:] != teacher.shape[1:]:
            found = None if target is None else tuple(target.shape)
            raise UserError(
                f'{type(self).__name__}: expected features of texts (M, '
                f'{teacher.shape[1]}), as wide as those of the images, got '
                f'{found}.'
            )
        text = of_all(unit(target.to(teacher)))
        student, teacher = (
            self.similarities(of_all(unit(side)), text)
            for side in (student, teacher)
        )
        return (
            softmax_divergence(student, teacher).mean()
            + softmax_divergence(student.T, teacher.T).mean()
        )


class PseudoVisionLanguageKL(_Similarities):
    """DIME-FM's L_pvl: the teacher's images take the place of texts.

    ::

        L = 2 * KL(t_I t_I^T || s_I t_I^T), the mean over rows

    Args:
        temperature (float): Defaults to 3.0.
        scale (float): Defaults to 100.0.

    Raises:
        UserError: If an option is not a finite number > 0.
    """

    def __init__(self, temperature: float = 3.0, scale: float = 100.0) -> None:
        super().__init__(temperature, scale)

    def per_sample(
        self, student: Tensor, teacher: Tensor, target: Optional[Tensor]
    ) -> Tensor:
        student, teacher = (of_all(unit(side)) for side in (student, teacher))
        return 2 * softmax_divergence(
            self.similarities(student, teacher),
            self.similarities(teacher, teacher),
        )


class ImageDistanceKL(_Similarities):
    """DIME-FM's L_udist: similarities of each side's images to its own.

    ::

        L = 2 * KL(t_I t_I^T || s_I s_I^T), the mean over rows

    Args:
        temperature (float): Defaults to 7.0.
        scale (float): Defaults to 100.0.

    Raises:
        UserError: If an option is not a finite number > 0.
    """

    def __init__(self, temperature: float = 7.0, scale: float = 100.0) -> None:
        super().__init__(temperature, scale)

    def per_sample(
        self, student: Tensor, teacher: Tensor, target: Optional[Tensor]
    ) -> Tensor:
        student, teacher = (
            self.similarities(side, side)
            for side in (of_all(unit(student)), of_all(unit(teacher)))
        )
        return 2 * softmax_divergence(student, teacher)


def of_all(features: Tensor) -> Tensor:
    """Returns the rows (N, D) of all processes, gradients included.

    Args:
        features (Tensor): This process's, as many as each other's.

    Returns:
        Tensor: (W * N, D), ordered by process.
    """
    if get_world_size() == 1:
        return features
    return torch.cat(all_gather(features.contiguous()))
