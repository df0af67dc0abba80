"""Averages of the student's weights, told by shares of the run."""

from __future__ import annotations

from mmengine.runner import Runner
from mmpretrain.engine.hooks import EMAHook

from ...errors import UserError
from ...models.options import checked_size
from ...registry import HOOKS
from ...stages import STUDENT, StageSchedule
from ..unwrap import unwrapped


def decay(share: float, steps: int) -> float:
    """Returns the decay whose half-life is a share of a run.

    Args:
        share (float): Of the steps.
        steps (int): N, at least 1.

    Returns:
        float: d = 0.5^(1 / (share N)).
    """
    return 0.5 ** (1 / (share * steps))


@HOOKS.register_module()
class StudentEMAHook(EMAHook):
    r"""An exponential moving average whose length follows the run's.

    After step t of the student

    .. math::
        \bar\theta_t = d_t \bar\theta_{t-1} + (1 - d_t) \theta_t, \quad
        d_t = \min(0.5^{1 / (s N)}, (1 + a) / (10 + a)),

    s being ``share``, N the student's iterations in the run (those of a
    customization stage are none) and a the averages made before; the first
    step is a copy. So a weight counts half as much as one that is s N steps
    younger, however long the run. All else is MMPretrain's ``EMAHook``:
    evaluations, checkpoints and ``student.pth`` have the average, and a
    resumed run goes on with it. A run that is resumed with another length
    takes the decay of that length from there on.

    Args:
        share (float): Half-life, as a share of the student's iterations, in
            (0, 1]. Defaults to 0.1.
        update_buffers (bool): Whether BatchNorm's running statistics are
            averaged too, else they are the student's own. Defaults to False.
        evaluate_on_origin (bool): Whether the student that is trained is
            evaluated too. Defaults to False.

    Raises:
        UserError: If ``share`` is another number.
    """

    def __init__(
        self,
        share: float = 0.1,
        update_buffers: bool = False,
        evaluate_on_origin: bool = False,
    ) -> None:
        self.share = _checked(type(self).__name__, share)
        super().__init__(
            # max(m, 9 / (9 + u)) in its u-th update is the warm-up above,
            # since u = a + 1. Its momentum is set once the run's length is
            # known.
            ema_type='MomentumAnnealingEMA',
            gamma=9,
            update_buffers=update_buffers,
            evaluate_on_origin=evaluate_on_origin,
        )

    def before_train(self, runner: Runner) -> None:
        """Sets the decay, now that the length of the run is known."""
        steps = _student_iterations(runner)
        value = decay(self.share, steps)
        # MMEngine's momentum is the share of what is new.
        self.ema_model.momentum = 1 - value
        runner.logger.info(
            f'{type(self).__name__}: decay {value:.5f} for {steps} steps.'
        )
        super().before_train(runner)


@HOOKS.register_module()
class StudentSWAHook(EMAHook):
    """The plain mean of the student over the last part of the run.

    Stochastic weight averaging (arXiv 1803.05407) by MMEngine's
    ``StochasticWeightAverage``; what is evaluated before is the student as it
    is. Meant for a learning rate that stays up, see
    :class:`~mmkd_custom.engine.CosineConstantLR`, and statistics of BatchNorm
    that are recomputed, see :class:`BatchNormStatisticsHook`.

    Args:
        share (float): The part of the run, in (0, 1]. Defaults to 0.25.
        interval (int): Steps from one weight that counts to the next; the
            paper takes one an epoch. Defaults to 1.
        update_buffers (bool): As of :class:`StudentEMAHook`. Defaults to
            False.
        evaluate_on_origin (bool): Likewise. Defaults to False.

    Raises:
        UserError: If an option is another number.
    """

    def __init__(
        self,
        share: float = 0.25,
        interval: int = 1,
        update_buffers: bool = False,
        evaluate_on_origin: bool = False,
    ) -> None:
        self.share = _checked(type(self).__name__, share)
        super().__init__(
            ema_type='StochasticWeightAverage',
            interval=checked_size('StudentSWAHook.interval', interval),
            update_buffers=update_buffers,
            evaluate_on_origin=evaluate_on_origin,
        )

    def before_train(self, runner: Runner) -> None:
        """Finds where the last part begins."""
        last = max(1, round(self.share * runner.max_iters))
        # MMEngine counts iterations from 1.
        self.begin_iter = runner.max_iters - last + 1
        if not self._ema_started(runner):
            # That of a shorter run, which is resumed, had begun.
            self.ema_model.steps.zero_()
        super().before_train(runner)


def _student_iterations(runner: Runner) -> int:
    """Counts the iterations of the run that train the student."""
    model = unwrapped(runner)
    schedule = getattr(model, 'schedule', None)
    if not isinstance(schedule, StageSchedule) or len(schedule.stages) == 1:
        return runner.max_iters
    epochs = sum(
        schedule.count(stage, runner.max_epochs)
        for stage in {stage.name for stage in schedule.stages}
        if STUDENT in model.trained_children(stage)
    )
    # StageHook refuses a run without any.
    return max(epochs, 1) * len(runner.train_dataloader)


def _checked(hook: str, share: float) -> float:
    number = isinstance(share, (int, float)) and not isinstance(share, bool)
    if not number or not 0 < share <= 1:
        raise UserError(
            f'{hook}.share: expected a number in (0, 1], got {share!r}.'
        )
    return share
