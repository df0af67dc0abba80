"""Trains part of a teacher's weights and a linear head by cross-entropy."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Callable, Dict, Iterable, List, Optional, Tuple

import torch
import torch.nn as nn
import torch.nn.functional as F
from mmengine.logging import print_log

from ..datasets.two_stream.views import seeded_rng
from ..errors import UserError
from ..models.outputs import FEATURE
from ..models.teachers.base import FrozenTeacher
from ..models.teachers.wrappers.adaptation import (
    HEAD_BIAS,
    HEAD_WEIGHT,
    MODES,
    NORM,
)
from ..utils.progress import progress_bar
from .adapters import adapters

#: Of LoRA's matrices and the head; a scale of a normalisation layer must not
#: be pulled to zero.
WEIGHT_DECAY = 0.01

#: Prepared images (N, 3, H, W) and class indices (N,), on the teacher's
#: device.
Batches = Iterable[Tuple[torch.Tensor, torch.Tensor]]


@dataclass(frozen=True)
class AdaptSettings:
    """How a teacher is adapted.

    Attributes:
        mode (str): 'norm' or 'lora'. Defaults to 'norm'.
        epochs (int): Passes over the labelled images. Defaults to 10.
        lr (float): Learning rate at the start of its cosine decay to 0.
            Defaults to 1e-3.
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
    lr: float = 1e-3
    rank: int = 8
    alpha: float = 16.0
    batch_size: int = 32
    holdout: float = 0.2

    def __post_init__(self) -> None:
        if self.mode not in MODES:
            raise UserError(
                f'mode={self.mode!r} is not one of {", ".join(MODES)}.'
            )
        for name in ('epochs', 'rank', 'batch_size'):
            if getattr(self, name) < 1:
                raise UserError(
                    f'{name}={getattr(self, name)}, but a whole number >= 1 '
                    'is wanted.'
                )
        for name in ('lr', 'alpha'):
            if not getattr(self, name) > 0:
                raise UserError(
                    f'{name}={getattr(self, name)}, but a number > 0 is '
                    'wanted.'
                )
        if not 0 <= self.holdout < 1:
            raise UserError(
                f'holdout={self.holdout}, but a share in [0, 1) is wanted.'
            )


@dataclass
class Trained:
    """What :func:`train_adapter` found.

    Attributes:
        tensors (dict[str, Tensor]): As in
            :class:`~mmkd_custom.models.teachers.wrappers.adaptation.Adaptation`.
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
        batches (Callable): Gives the batches of an epoch, by its number.
        num_classes (int): C.
        settings (AdaptSettings): How.
        seed (int): Of LoRA's matrices A. Defaults to 0.
        held_out (Callable, optional): Gives the batches that the accuracy is
            measured on. Defaults to None.

    Returns:
        Trained: On the CPU.

    Raises:
        UserError: If nothing can be adapted, or the loss is not finite.
    """
    with seeded_rng(seed), ExitStack() as stack:
        inputs, _ = next(iter(batches(0)))
        trained = stack.enter_context(
            adapters(
                teacher,
                settings.mode,
                _laid_out(teacher, inputs[:1]),
                settings.rank,
                settings.alpha,
            )
        )
        mean, std, steps = _statistics(teacher, batches(0))
        # Zeros, so the first step moves the head alone: gradients of the
        # teacher pass through it.
        weight = torch.zeros(num_classes, len(mean), device=mean.device)
        bias = torch.zeros(num_classes, device=mean.device)

        def classify(feature: torch.Tensor) -> torch.Tensor:
            # Standardised, so one learning rate suits every teacher.
            return F.linear((feature.float() - mean) / std, weight, bias)

        head = [weight.requires_grad_(), bias.requires_grad_()]
        losses = _descend(
            teacher,
            batches,
            classify,
            list(trained.values()),
            head,
            settings,
            steps,
        )
        accuracy = None
        if held_out is not None:
            accuracy = _accuracy(teacher, held_out(), classify)
        tensors = {
            name: parameter.detach().float().cpu().clone().contiguous()
            for name, parameter in trained.items()
        }
    # W ((f - mean) / std) + b = (W / std) f + (b - (W / std) mean)
    folded = weight.detach().double() / std.double()
    tensors[HEAD_WEIGHT] = folded.float().cpu()
    tensors[HEAD_BIAS] = (bias.detach() - folded @ mean.double()).float().cpu()
    return Trained(tensors, losses, accuracy)


def _laid_out(teacher: FrozenTeacher, inputs: torch.Tensor) -> torch.Tensor:
    return inputs.to(teacher.dtype, memory_format=teacher.memory_format)


def _statistics(
    teacher: FrozenTeacher, batches: Batches
) -> Tuple[torch.Tensor, torch.Tensor, int]:
    """Mean and deviation (D,) of the feature, and the number of batches."""
    features = [teacher(inputs, (FEATURE,)).feature for inputs, _ in batches]
    joined = torch.cat(features)
    std = joined.std(0, unbiased=False)
    # A dimension that hardly varies is not blown up to count like the rest.
    return (
        joined.mean(0),
        std.clamp_min(0.1 * std.mean() + 1e-6),
        len(features),
    )


def _descend(
    teacher: FrozenTeacher,
    batches: Callable[[int], Batches],
    classify: Callable[[torch.Tensor], torch.Tensor],
    adapted: List[nn.Parameter],
    head: List[torch.Tensor],
    settings: AdaptSettings,
    steps: int,
) -> List[float]:
    decay = 0.0 if settings.mode == NORM else WEIGHT_DECAY
    optimizer = torch.optim.AdamW(
        [
            dict(params=adapted, weight_decay=decay),
            dict(params=head, weight_decay=WEIGHT_DECAY),
        ],
        lr=settings.lr,
    )
    total = settings.epochs * steps
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, total)
    losses = []
    with progress_bar() as progress:
        task = progress.add_task('adapt', total=total)
        for epoch in range(settings.epochs):
            loss, count = 0.0, 0
            for inputs, labels in batches(epoch):
                optimizer.zero_grad()
                part = teacher.max_batch or len(labels)
                for images, targets in zip(
                    inputs.split(part), labels.split(part)
                ):
                    images = _laid_out(teacher, images)
                    feature = teacher.encode(images, (FEATURE,)).feature
                    error = F.cross_entropy(
                        classify(feature), targets, reduction='sum'
                    )
                    (error / len(labels)).backward()
                    loss += error.item()
                count += len(labels)
                optimizer.step()
                schedule.step()
                progress.advance(task)
            losses.append(loss / count)
            print_log(
                f'Epoch {epoch + 1}/{settings.epochs}: cross-entropy '
                f'{losses[-1]:.4f}',
                logger='current',
            )
            if not loss < float('inf'):
                raise UserError(
                    f'the loss became {losses[-1]} in epoch {epoch + 1}; '
                    f'lower the learning rate lr={settings.lr}.'
                )
    return losses


def _accuracy(
    teacher: FrozenTeacher,
    batches: Batches,
    classify: Callable[[torch.Tensor], torch.Tensor],
) -> float:
    right = count = 0
    for inputs, labels in batches:
        with torch.no_grad():
            logits = classify(teacher(inputs, (FEATURE,)).feature)
        right += int((logits.argmax(1) == labels).sum())
        count += len(labels)
    return 100 * right / count
