"""Loss terms in the log, without a wait for the device every iteration."""

from __future__ import annotations

from typing import Any, Dict, List, NamedTuple, Optional, Set, Tuple

import torch
from mmengine.hooks import LoggerHook, RuntimeInfoHook
from mmengine.runner import Runner

from ...errors import UserError
from ...registry import HOOKS

_Kind = Tuple[torch.device, torch.dtype]


class _Term(NamedTuple):
    """A term of one iteration.

    With a kind, its value is the next that was stacked of that kind.
    """

    name: str
    value: Any
    kind: Optional[_Kind] = None


@HOOKS.register_module()
class DeferredRuntimeInfoHook(RuntimeInfoHook):
    """Hands the terms of a step over when they are read, not when they come.

    MMEngine's own hook reads every term in every iteration, and the host
    waits for the device each time. This one leaves them there and reads all
    of them in one transfer, in the order in which they came: when a
    ``LoggerHook`` is about to log, at the end of an epoch, before an
    evaluation, into a checkpoint, and when a term comes that the log does not
    know yet, so that it takes the place it would have had. The message hub's
    histories become the same, bit for bit; in between they end earlier.
    Whoever reads them at another time calls :meth:`hand_over` first.

    Args:
        max_kept (int): Most iterations that are kept. Defaults to 100.

    Raises:
        UserError: If ``max_kept`` is no positive whole number.
    """

    def __init__(self, max_kept: int = 100) -> None:
        if type(max_kept) is not int or max_kept < 1:
            raise UserError(
                f'DeferredRuntimeInfoHook: max_kept={max_kept!r}, but a whole '
                'number >= 1 is wanted.'
            )
        self.max_kept = max_kept
        self._kept: List[List[_Term]] = []
        self._stacks: Dict[_Kind, List[torch.Tensor]] = {}

    def before_train(self, runner: Runner) -> None:
        """Forgets what an aborted training left."""
        self._kept.clear()
        self._stacks.clear()
        super().before_train(runner)

    def after_train_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: Any = None,
        outputs: Optional[dict] = None,
    ) -> None:
        """Keeps the terms; hands all over if they cannot wait."""
        if outputs:
            self._keep(outputs)
        known = runner.message_hub.log_scalars
        if (
            len(self._kept) >= self.max_kept
            or any(
                f'train/{name}' not in known or not _can_wait(value)
                for name, value in (outputs or {}).items()
            )
            or self._is_read(runner, batch_idx)
        ):
            self.hand_over(runner)

    def after_train_epoch(self, runner: Runner) -> None:
        """Hands over: an epoch ends with a complete history."""
        self.hand_over(runner)

    def before_val(self, runner: Runner) -> None:
        """Hands over: a loop by iterations evaluates within an epoch."""
        self.hand_over(runner)
        super().before_val(runner)

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Completes the histories in a checkpoint within an epoch."""
        if not self._kept:
            return
        self.hand_over(runner)
        # The runner has copied the hub before it asks the hooks.
        if 'message_hub' in checkpoint:
            hub = runner.message_hub.state_dict()
            checkpoint['message_hub']['log_scalars'] = hub['log_scalars']

    def hand_over(self, runner: Runner) -> None:
        """Gives the message hub everything that is kept, in order."""
        values = {
            # Waits for the device, once for all that it holds.
            kind: iter(torch.cat(stacks).tolist())
            for kind, stacks in self._stacks.items()
        }
        kept, self._kept, self._stacks = self._kept, [], {}
        for terms in kept:
            for name, value, kind in terms:
                runner.message_hub.update_scalar(
                    f'train/{name}',
                    value if kind is None else next(values[kind]),
                )

    def _keep(self, outputs: dict) -> None:
        terms: List[_Term] = []
        alike: Dict[_Kind, List[torch.Tensor]] = {}
        for name, value in outputs.items():
            if torch.is_tensor(value) and value.numel() == 1:
                kind = value.device, value.dtype
                alike.setdefault(kind, []).append(value.detach().reshape(()))
                terms.append(_Term(name, None, kind))
            else:
                terms.append(_Term(name, value))
        self._kept.append(terms)
        for kind, tensors in alike.items():
            # A copy: who made the terms may use their memory again. Of one
            # type each, because float32 would round whole numbers.
            self._stacks.setdefault(kind, []).append(torch.stack(tensors))

    def _is_read(self, runner: Runner, batch_idx: int) -> bool:
        """Says whether a hook may log in this iteration."""
        if self.end_of_epoch(runner.train_dataloader, batch_idx):
            return True
        return any(
            interval is None or self.every_n_inner_iters(batch_idx, interval)
            for interval in _log_intervals(runner)
        )


def _can_wait(value: Any) -> bool:
    """Says whether a value stays what it is, and the hub will take it."""
    if torch.is_tensor(value):
        return value.numel() == 1
    return isinstance(value, (int, float))


def _log_intervals(runner: Runner) -> Set[Optional[int]]:
    """Gives every logger's interval; None for one with rules of its own."""
    return {
        hook.interval
        if type(hook).after_train_iter is LoggerHook.after_train_iter
        else None
        for hook in runner.hooks
        if isinstance(hook, LoggerHook)
    }
