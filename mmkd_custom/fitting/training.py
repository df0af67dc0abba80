"""Trains part of a teacher's weights and a linear head by cross-entropy."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Callable, Dict, List, Optional, Tuple

import torch
import torch.nn as nn
import torch.nn.functional as F
from mmengine.logging import print_log

from ..datasets.two_stream.views import seeded_rng
from ..errors import UserError
from ..models.outputs import FEATURE
from ..models.teachers.base import FrozenTeacher
from ..models.teachers.wrappers.adapted import (
    FULL,
    HEAD_BIAS,
    HEAD_WEIGHT,
    MODES,
    NORM,
)
from ..utils.progress import progress
from .adapters import adapters
from .labelled import Batches

#: Of matrices and kernels; a scale of a normalisation layer must not be
#: pulled to zero.
WEIGHT_DECAY = 0.01

#: First learning rates: what was trained for long may move little.
LR, LR_FULL = 1e-3, 1e-4


@dataclass(frozen=True)
class AdaptSettings:
    """How a teacher is adapted.

    Attributes:
        mode (str): 'norm', 'lora' or 'full'. Defaults to 'norm'.
        epochs (int): Passes over the labelled images. Defaults to 10.
        lr (float, optional): Learning rate at the start of its cosine decay
            to 0. Defaults to None, 1e-4 in mode 'full', otherwise 1e-3.
        rank (int): LoRA's rank. Defaults to 8.
        alpha (float): LoRA's scale, of which alpha / rank counts. Defaults to
            16.0.
        batch_size (int): Images a step; as many as the teacher's
            ``max_batch`` at once. Defaults to 32.
        holdout (float): Share of every class's labelled images, in [0, 1),
            that is not trained on and that the accuracy is reported on.
            Defaults to 0.2.

    Raises:
        UserError: If an option has no such value.
    """

    mode: str = NORM
    epochs: int = 10
    lr: Optional[float] = None
    rank: int = 8
    alpha: float = 16.0
    batch_size: int = 32
    holdout: float = 0.2

    def __post_init__(self) -> None:
        if self.lr is None:
            object.__setattr__(
                self, 'lr', LR_FULL if self.mode == FULL else LR
            )
        for name, right, expected in (
            ('mode', self.mode in MODES, f'one of {", ".join(MODES)}'),
            ('epochs', self.epochs >= 1, 'a whole number >= 1'),
            ('rank', self.rank >= 1, 'a whole number >= 1'),
            ('batch_size', self.batch_size >= 1, 'a whole number >= 1'),
            ('lr', self.lr > 0, 'a number > 0'),
            ('alpha', self.alpha > 0, 'a number > 0'),
            ('holdout', 0 <= self.holdout < 1, 'a share in [0, 1)'),
        ):
            if not right:
                raise UserError(
                    f'{name}: expected {expected}, got '
                    f'{getattr(self, name)!r}.'
                )


@dataclass
class Trained:
    """What :func:`train_adapter` found.

    Attributes:
        tensors (dict[str, Tensor]): As in
            :class:`~mmkd_custom.models.teachers.wrappers.adapted.Adaptation`.
        losses (list[float]): Mean cross-entropy of every epoch, in nats.
        accuracy (float, optional): Top-1 in percent on the images held out.
            Defaults to None.
    """

    tensors: Dict[str, torch.Tensor]
    losses: List[float] = field(default_factory=list)
    accuracy: Optional[float] = None


def train_adapter(
    teacher: FrozenTeacher,
    batches: Callable[[int], Batches],
    num_classes: int,
    settings: AdaptSettings,
    seed: int = 0,
    held_out: Optional[Callable[[], Batches]] = None,
) -> Trained:
    """Trains adapters of a teacher and a linear head by cross-entropy.

    AdamW with a cosine schedule. The teacher is as it was afterwards, byte
    for byte, whatever happens.

    Args:
        teacher (FrozenTeacher): In float32.
        batches (Callable): Returns the batches of an epoch, by its number.
        num_classes (int): C.
        settings (AdaptSettings): How.
        seed (int): Of LoRA's matrices A. Defaults to 0.
        held_out (Callable, optional): Returns the batches that the accuracy
            is measured on. Defaults to None.

    Returns:
        Trained: On the CPU.

    Raises:
        UserError: If nothing can be adapted, or the loss is not finite.
    """
    with seeded_rng(seed):
        example = _laid_out(teacher, next(iter(batches(0)))[0][:1])
        with adapters(
            teacher, settings.mode, example, settings.rank, settings.alpha
        ) as adapted:
            head, steps = _Head.of(teacher, batches(0), num_classes)
            losses = _descend(
                teacher, batches, head, list(adapted.values()), settings, steps
            )
            accuracy = None
            if held_out is not None:
                accuracy = _accuracy(teacher, held_out(), head)
            tensors = {
                name: parameter.detach().float().cpu().clone().contiguous()
                for name, parameter in adapted.items()
            }
    return Trained({**tensors, **head.folded()}, losses, accuracy)


@dataclass
class _Head:
    """W ((f - mean) / std) + b: one learning rate suits every teacher."""

    mean: torch.Tensor
    std: torch.Tensor
    weight: torch.Tensor
    bias: torch.Tensor

    @classmethod
    def of(
        cls, teacher: FrozenTeacher, batches: Batches, num_classes: int
    ) -> Tuple[_Head, int]:
        """Returns the head, and the number of batches."""
        features = [teacher(x, (FEATURE,)).feature for x, _ in batches]
        joined = torch.cat(features)
        std, mean = joined.std(0, unbiased=False), joined.mean(0)
        # A dimension that hardly varies shall not count like the rest.
        std = std.clamp_min(0.1 * std.mean() + 1e-6)
        # Zeros, so the first step moves the head alone: gradients of the
        # teacher pass through it.
        weight = mean.new_zeros(num_classes, len(mean)).requires_grad_()
        bias = mean.new_zeros(num_classes).requires_grad_()
        return cls(mean, std, weight, bias), len(features)

    def __call__(self, feature: torch.Tensor) -> torch.Tensor:
        feature = (feature.float() - self.mean) / self.std
        return F.linear(feature, self.weight, self.bias)

    def folded(self) -> Dict[str, torch.Tensor]:
        """W / std and b - (W / std) mean, for the feature as it comes."""
        weight = self.weight.detach().double() / self.std.double()
        bias = self.bias.detach() - weight @ self.mean.double()
        return {
            HEAD_WEIGHT: weight.float().cpu(),
            HEAD_BIAS: bias.float().cpu(),
        }


def _laid_out(teacher: FrozenTeacher, inputs: torch.Tensor) -> torch.Tensor:
    return inputs.to(teacher.dtype, memory_format=teacher.memory_format)


def _descend(
    teacher: FrozenTeacher,
    batches: Callable[[int], Batches],
    head: _Head,
    adapted: List[nn.Parameter],
    settings: AdaptSettings,
    steps: int,
) -> List[float]:
    groups = [dict(params=[head.weight, head.bias], weight_decay=WEIGHT_DECAY)]
    for decay in (0.0, WEIGHT_DECAY):
        params = [p for p in adapted if (p.ndim > 1) == (decay > 0)]
        if params:
            groups.append(dict(params=params, weight_decay=decay))
    optimizer = torch.optim.AdamW(groups, lr=settings.lr)
    total = settings.epochs * steps
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, total)
    losses = []
    with progress('adapting the teacher', total, 'batches') as bar:
        for epoch in range(1, settings.epochs + 1):
            loss, count = 0.0, 0
            for inputs, labels in batches(epoch - 1):
                optimizer.zero_grad()
                part = teacher.max_batch or len(labels)
                for images, targets in zip(
                    inputs.split(part), labels.split(part)
                ):
                    images = _laid_out(teacher, images)
                    feature = teacher.encode(images, (FEATURE,)).feature
                    error = F.cross_entropy(
                        head(feature), targets, reduction='sum'
                    )
                    (error / len(labels)).backward()
                    loss += error.item()
                count += len(labels)
                optimizer.step()
                schedule.step()
                bar.note = f'epoch {epoch}, cross-entropy {loss / count:.4f}'
                bar.advance()
            losses.append(loss / count)
            print_log(
                f'Epoch {epoch}/{settings.epochs}: cross-entropy '
                f'{losses[-1]:.4f}',
                logger='current',
            )
            if not loss < float('inf'):
                raise UserError(
                    f'lr: expected a finite loss, got {losses[-1]} in epoch '
                    f'{epoch} with lr={settings.lr}; lower it.'
                )
    return losses


@torch.no_grad()
def _accuracy(teacher: FrozenTeacher, batches: Batches, head: _Head) -> float:
    right = count = 0
    for inputs, labels in batches:
        logits = head(teacher(inputs, (FEATURE,)).feature)
        right += int((logits.argmax(1) == labels).sum())
        count += len(labels)
    return 100 * right / count
