"""What happens where a run turns out slower than its rehearsal."""

from __future__ import annotations

import time
from typing import Callable

from mmengine.hooks import Hook
from mmengine.runner import Runner

from ..engine.unwrap import unwrapped
from ..stages import StageSchedule
from ..utils.duration import spell_duration

#: By so much of the time asked for may a run end later.
LATE = 0.1
#: As long as no more of the epochs are over, it is begun anew.
EARLY = 0.1


class TooSlow(Exception):
    """Ends a run that would end too late, while little is lost.

    Args:
        seconds (float): What an epoch of the student takes, with the
            customization.
    """

    def __init__(self, seconds: float) -> None:
        super().__init__(seconds)
        self.seconds = seconds


class KeepTimeHook(Hook):
    """Foresees a run's end after each of its student's epochs.

    From the mean of the epochs so far but the first, in which the teacher may
    be asked. If the end is later than was asked for by more than a tenth of
    the time, the run stops with :class:`TooSlow` where no more than its first
    two epochs, or a tenth of all, are lost: begun anew with fewer, it walks
    its whole schedule. Later on nothing is changed, since the recipe would be
    another from the middle on: it is said.

    Args:
        begun (float): When the time began, by ``time.monotonic``.
        seconds (float): The time that was asked for.
        say (Callable[[str], None]): Takes the line for the user.

    Attributes:
        anew (bool): Whether the run may be begun anew, which it is once.
    """

    def __init__(
        self,
        begun: float,
        seconds: float,
        say: Callable[[str], None],
    ) -> None:
        self.begun, self.seconds = begun, seconds
        self.say, self.anew = say, True
        self._since = 0.0
        self._said = False

    def after_train_epoch(self, runner: Runner) -> None:
        """Foresees the end.

        Raises:
            TooSlow: If it is too late, and little is lost.
        """
        schedule = getattr(unwrapped(runner), 'schedule', None)
        cycle = schedule.period if isinstance(schedule, StageSchedule) else 1
        done, rest = divmod(runner.epoch + 1, cycle)
        if rest or self._said:
            return
        now, epochs = time.monotonic(), runner.max_epochs // cycle
        if done == 1:
            self._since = now
            return
        pace = (now - self._since) / (done - 1)
        taken = now + pace * (epochs - done) - self.begun
        if taken <= self.seconds * (1 + LATE):
            return
        if self.anew and done <= max(2, EARLY * epochs):
            raise TooSlow(pace)
        self._said = True
        self.say(
            'The machine has become slower: the run will end about '
            f'{spell_duration(taken)} after its start, asked for were '
            f'{spell_duration(self.seconds)}. Its schedule is kept.'
        )
