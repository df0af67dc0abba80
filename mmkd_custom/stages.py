"""Stages of training as a pure function of the epoch number."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Sequence, Tuple

from .errors import UserError

LABELLED = 'labelled'
UNLABELLED = 'unlabelled'
SYNTHETIC = 'synthetic'
#: All streams, in the order in which a batch holds them.
STREAMS = (LABELLED, UNLABELLED, SYNTHETIC)
#: The view that a stream's own pipeline makes.
STUDENT = 'student'
#: The view for the teacher; the student's where the dataset makes none.
TEACHER = 'teacher'
DISTILLATION = 'distillation'
CUSTOMIZATION = 'customization'
#: The stages that some method of this package has.
STAGES = (CUSTOMIZATION, DISTILLATION)


@dataclass(frozen=True)
class Stage:
    """One stage of a training schedule.

    Args:
        name (str): Its name; the distiller computes ``loss_<name>`` in it.
        epochs (int): How many epochs in a row it lasts. Defaults to 1.
        streams (tuple[str]): The streams its batches are drawn from.
            Defaults to labelled and unlabelled ones, which
            brings synthetic ones along.
    """

    name: str
    epochs: int = 1
    streams: Tuple[str, ...] = (LABELLED, UNLABELLED)

    def draws(self, stream: str) -> bool:
        """Whether the stage's batches hold images of a stream."""
        return draws(self.streams, stream)


def draws(streams: Sequence[str], stream: str) -> bool:
    """Whether a choice of streams takes in a stream.

    Synthetic images go wherever unlabelled ones go: to a distiller both are
    images without a label.

    Args:
        streams (Sequence[str]): The choice.
        stream (str): One of :data:`STREAMS`.

    Returns:
        bool: Whether it does.
    """
    return stream in streams or (stream == SYNTHETIC and UNLABELLED in streams)


class StageSchedule:
    """Cycles through stages, epoch by epoch.

    The stage is computed from the epoch number and never stored, so a run
    that resumes at any epoch is in the right stage by construction.

    Args:
        stages (Sequence[Stage]): The cycle. Stages of zero epochs are left
            out.

    Raises:
        UserError: If a length is negative or there is no epoch.
    """

    def __init__(self, stages: Sequence[Stage]) -> None:
        for stage in stages:
            if (
                isinstance(stage.epochs, bool)
                or not isinstance(stage.epochs, int)
                or stage.epochs < 0
            ):
                raise UserError(
                    f'schedule.{stage.name}: expected a whole number of '
                    f'epochs >= 0, got {stage.epochs!r}.'
                )
        self.stages = tuple(stage for stage in stages if stage.epochs > 0)
        if not self.stages:
            raise UserError(
                'schedule: expected at least one epoch of a stage, got '
                f'{ {stage.name: stage.epochs for stage in stages} }.'
            )
        self.period = sum(stage.epochs for stage in self.stages)

    def __call__(self, epoch: int) -> Stage:
        """Returns the stage of an epoch, counted from 0."""
        position = epoch % self.period
        for stage in self.stages:
            if position < stage.epochs:
                return stage
            position -= stage.epochs
        raise AssertionError('unreachable: position < period')

    def occurrence(self, epoch: int) -> int:
        """Counts the epochs before ``epoch`` that are in the same stage."""
        return self.count(self(epoch).name, epoch)

    def count(self, name: str, epochs: int) -> int:
        """Counts the epochs of a stage among the first ``epochs``."""
        cycles, rest = divmod(epochs, self.period)
        per_cycle = sum(s.epochs for s in self.stages if s.name == name)
        return cycles * per_cycle + sum(
            self(position).name == name for position in range(rest)
        )

    def __repr__(self) -> str:
        inner = ', '.join(f'{s.name}={s.epochs}' for s in self.stages)
        return f'StageSchedule({inner})'
