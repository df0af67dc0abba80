"""How long a run takes, and how many epochs fit into a given time."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Optional

from ..errors import UserError
from ..utils.duration import spell_duration
from .data import Data
from .plan import Plan
from .recipe import LOOKS
from .rehearsal import Pace

#: A given time is used up to so many times the epochs of the plan.
MOST = 3
#: Of a step's time, what an evaluation takes for as many images.
FORWARD = 0.5
#: Share of a given time that is kept for what was not foreseen.
RESERVE = 0.05


@dataclass(frozen=True)
class Clock:
    """Seconds of the parts of a run.

    Args:
        teacher (float): Of the teacher's look at every training image.
        epoch (float): Of an epoch of the student, with the customization.
        looks (float): Of all evaluations.
    """

    teacher: float
    epoch: float
    looks: float

    def total(self, epochs: int) -> float:
        """Returns how long a run of so many epochs takes."""
        return self.teacher + self.looks + epochs * self.epoch

    def at_pace(self, epoch: float) -> Clock:
        """Returns that of a run which has begun: the teacher has been asked.

        Args:
            epoch (float): Seconds that an epoch has turned out to take.
        """
        return Clock(0.0, epoch, self.looks * epoch / self.epoch)


def make_clock(
    data: Data, plan: Plan, pace: Pace, seconds_per_image: float
) -> Clock:
    """Adds up what was measured.

    Args:
        data (Data): The images.
        plan (Plan): How the student is trained.
        pace (Pace): Of its steps.
        seconds_per_image (float): That the teacher takes.
    """
    images = data.count('labelled') + data.count('unlabelled')
    batch = plan.labelled + plan.unlabelled
    tested = math.ceil(data.count('test') / batch)
    return Clock(
        teacher=images * seconds_per_image,
        epoch=plan.steps * pace.both,
        looks=LOOKS * tested * pace.distillation * FORWARD,
    )


def fit_time(
    plan: Plan, clock: Clock, seconds: Optional[float], spent: float
) -> Plan:
    """Fits the epochs into a time.

    Args:
        plan (Plan): Whose epochs are fitted.
        clock (Clock): How long they take.
        seconds (float, optional): From start to end. None leaves the plan
            as it is.
        spent (float): What of it is gone.

    Raises:
        UserError: If not even one epoch fits.
    """
    if seconds is None:
        return plan
    given = spell_duration(seconds)
    epochs = _fitting(clock, seconds, spent)
    if epochs < 1:
        least = math.ceil((spent + clock.total(1)) / (1 - RESERVE))
        raise UserError(
            'time: expected enough for an epoch of '
            f'{spell_duration(clock.epoch)}, after '
            f'{spell_duration(spent + clock.total(0))} for all else, got '
            f'{given}; give {least}s or more.'
        )
    most = MOST * plan.epochs
    if epochs > most:
        why = f'{MOST} times the {plan.epochs} without --time; {given} is more'
        return plan.with_epochs(most, why)
    return plan.with_epochs(epochs, f'what fits into {given}')


def fit_rest(plan: Plan, clock: Clock, seconds: float, spent: float) -> Plan:
    """Fits the epochs of a run that is too slow into what is left.

    Args:
        plan (Plan): Whose epochs are fitted.
        clock (Clock): At the pace that was found.
        seconds (float): From start to end.
        spent (float): What of it is gone.

    Returns:
        Plan: With one epoch at the least.
    """
    return plan.with_epochs(
        max(1, _fitting(clock, seconds, spent)),
        f'what fits into {spell_duration(seconds)}, at the pace of the first',
    )


def _fitting(clock: Clock, seconds: float, spent: float) -> int:
    left = seconds * (1 - RESERVE) - spent - clock.total(0)
    return int(left / clock.epoch)
