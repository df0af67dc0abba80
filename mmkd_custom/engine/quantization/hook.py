"""The last epochs of a distillation with int8 rounding in the student."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any, Optional

from mmengine.hooks import Hook
from mmengine.runner import EpochBasedTrainLoop, Runner

from ...errors import UserError
from ...models.distillers import BaseDistiller
from ...models.options import checked_size
from ...registry import HOOKS
from ...stages import STUDENT
from ..unwrap import unwrapped
from .fake import FakeQuantizers

#: The distiller's child that keeps the ranges of activations.
CHILD = 'fake_quantizers'


@HOOKS.register_module()
class QuantizeHook(Hook):
    """Quantisation-aware distillation, the last epochs of a run.

    In them the student rounds as its int8 file will
    (:class:`~.fake.FakeQuantizers`), in every step and under the terms that
    the run has anyway; teachers, connectors and the schedule of stages and
    learning rates stay as they are. Evaluations, checkpoints and
    ``student.pth`` have the student without rounding, whose weights have
    become such as lose less by it: it is exported, and quantised, as any
    other. Which epochs these are follows from their number, so that a resumed
    run goes on alike.

    A config writes it as ``quantize=dict(epochs=4)``.

    Args:
        epochs (int): How many, counted from the end; with ``load_from`` and
            as many as the run has, a student that was trained before is only
            tuned.

    Raises:
        UserError: If it is no such number.
    """

    # Before StrictLoadHook (VERY_HIGH) compares a checkpoint with the model,
    # and before an EMAHook copies that.
    priority = 5

    def __init__(self, epochs: int) -> None:
        self.epochs = checked_size('quantize.epochs', epochs)
        self._attached: Optional[ExitStack] = None

    def before_run(self, runner: Runner) -> None:
        """Gives the distiller the module that keeps ranges."""
        model = unwrapped(runner)
        if isinstance(model, BaseDistiller) and not hasattr(model, CHILD):
            quantizers = FakeQuantizers(model.student, model.input_size)
            device = next(model.student.parameters()).device
            model.add_module(CHILD, quantizers.to(device))

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Lets a run start from one that has not been rounded."""
        weights = checkpoint.get('state_dict', checkpoint)
        model = unwrapped(runner)
        if runner._resume or not hasattr(model, CHILD):
            return
        for name, value in model.state_dict().items():
            if name.startswith(f'{CHILD}.'):
                weights.setdefault(name, value)

    def before_train(self, runner: Runner) -> None:
        """Refuses a run that has no such epochs.

        Raises:
            UserError: If the model is no distiller, the run counts no epochs
                or has fewer, or none of them trains the student.
        """
        model = unwrapped(runner)
        if not isinstance(model, BaseDistiller):
            raise UserError(
                'quantize: expected a distiller, whose terms go on while the '
                f'student rounds, got a {type(model).__name__}.'
            )
        if not isinstance(runner.train_loop, EpochBasedTrainLoop):
            raise UserError(
                'quantize.epochs: expected a run by epochs, got a '
                f'{type(runner.train_loop).__name__}; set by_epoch=True.'
            )
        last = range(self._first(runner), runner.max_epochs)
        if last.start < 0 or not any(
            STUDENT in model.trained_children(model.schedule(epoch).name)
            for epoch in last
        ):
            raise UserError(
                f'quantize.epochs: expected at most the {runner.max_epochs} '
                'epochs of the run, and one that trains the student among '
                f'them, got {self.epochs}.'
            )

    def before_train_epoch(self, runner: Runner) -> None:
        """Says when it begins."""
        if runner.epoch == self._first(runner):
            count = len(getattr(unwrapped(runner), CHILD))
            runner.logger.info(
                f'Epoch {runner.epoch + 1}/{runner.max_epochs}: from here on '
                f'{count} layers of the student round to int8.'
            )

    def before_train_iter(self, runner: Runner, *_: Any, **__: Any) -> None:
        """Has the student round."""
        model = unwrapped(runner)
        if runner.epoch >= self._first(runner):
            self._attached = getattr(model, CHILD).attach(model.student)

    def after_train_iter(self, runner: Runner, *_: Any, **__: Any) -> None:
        """Has it round no longer: whatever else looks at it may do so now."""
        if self._attached is not None:
            self._attached.close()
            self._attached = None
            getattr(unwrapped(runner), CHILD).share()

    def _first(self, runner: Runner) -> int:
        return runner.max_epochs - self.epochs
