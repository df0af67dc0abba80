"""No result, and no file, of a loss that is not a number."""

from __future__ import annotations

from typing import Any, List, NamedTuple, Optional

import torch
from mmengine.dist import all_reduce
from mmengine.hooks import CheckpointHook, Hook
from mmengine.runner import Runner

from ...errors import UserError
from ...registry import HOOKS
from ..unwrap import unwrapped

#: Iterations whose losses an accelerator may keep before they are read.
WINDOW = 50

#: Where the number of skipped iterations travels: message hub, results.
SKIPPED = 'skipped_iterations'


class _Losses(NamedTuple):
    """The losses of an iteration, still on their device."""

    iteration: int
    names: List[str]
    values: torch.Tensor
    samples: List[Any]


@HOOKS.register_module()
class FiniteLossHook(Hook):
    """Stops at a loss that is NaN or infinite, before anything is saved.

    On an accelerator losses are read every :data:`WINDOW` iterations, at the
    end of an epoch and before anything is saved, so that the host need not
    wait in every iteration; on the CPU in each. Weights are looked at before
    they are saved, because a finite loss may have had gradients that were
    not. A loss scaler, which meets infinite gradients and steps over them, is
    not concerned.

    Args:
        action (str): 'raise' stops. 'skip' leaves the iteration out: weights
            and statistics stay as they were, on all ranks; the log names the
            samples, and the results have the number of iterations left out.
            The host then waits for each loss. Defaults to 'raise'.

    Raises:
        UserError: If ``action`` is something else.
    """

    # Before every hook that evaluates, averages or saves.
    priority = 'VERY_HIGH'

    def __init__(self, action: str = 'raise') -> None:
        if action not in ('raise', 'skip'):
            raise UserError(
                f"FiniteLossHook: expected action='raise' or 'skip', got "
                f'{action!r}.'
            )
        self.action = action
        self._kept: List[_Losses] = []
        self._buffers: List[torch.Tensor] = []
        self._skipped = False

    def before_train(self, runner: Runner) -> None:
        """Gets between loss and optimiser, if iterations may be left out."""
        self._kept.clear()
        if self.action != 'skip':
            return
        wrapper = runner.optim_wrapper
        wrappers = getattr(wrapper, 'optim_wrappers', {'': wrapper}).values()
        counts = [getattr(w, '_accumulative_counts', 1) for w in wrappers]
        if max(counts) > 1:
            raise UserError(
                'FiniteLossHook: expected optim_wrapper.accumulative_counts=1 '
                f"with action='skip', got {max(counts)}: what a batch left "
                'out adds to gradients that others share cannot be taken back.'
            )
        update = wrapper.update_params

        def update_if_finite(loss: torch.Tensor, *args, **kwargs) -> None:
            finite = loss.detach().isfinite().all().float()
            all_reduce(finite, 'min')
            self._skipped = not finite
            if not self._skipped:
                update(loss, *args, **kwargs)
                return
            # Wrappers count backward passes, and DDP waits for one.
            wrapper.backward(loss)
            wrapper.zero_grad()
            for buffer, value in zip(
                unwrapped(runner).buffers(), self._buffers
            ):
                buffer.copy_(value)

        wrapper.update_params = update_if_finite

    def before_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None
    ) -> None:
        """Remembers statistics that a forward pass may spoil."""
        if self.action == 'skip':
            self._buffers = [b.clone() for b in unwrapped(runner).buffers()]

    def after_train_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: Any = None,
        outputs: Optional[dict] = None,
    ) -> None:
        """Keeps the losses, and reads them if it is time.

        Raises:
            UserError: If a loss is not finite; the sentence names it, the
                iteration and the samples.
        """
        losses = _losses(runner.iter + 1, data_batch, outputs or {})
        if losses is None:
            return
        if self.action == 'skip':
            if self._skipped:
                self._count(runner, losses)
            return
        self._kept.append(losses)
        if len(self._kept) >= _window(losses.values.device):
            self._read()
        # It deletes old checkpoints before it saves a new one.
        if any(
            isinstance(hook, CheckpointHook)
            and not hook.by_epoch
            and self.every_n_train_iters(runner, hook.interval)
            for hook in runner.hooks
        ):
            self._look_at(runner)

    def after_train_epoch(self, runner: Runner) -> None:
        """Looks before a checkpoint is saved and older ones are deleted."""
        self._look_at(runner)

    def before_val(self, runner: Runner) -> None:
        """Reads before an evaluation within an epoch."""
        self._read()

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Looks before anything else is saved."""
        self._look_at(runner)

    def _look_at(self, runner: Runner) -> None:
        self._read()
        model = unwrapped(runner)
        # Infinite buffers may be masks.
        good = {n: p.isfinite().all() for n, p in model.named_parameters()}
        good.update((n, ~b.isnan().any()) for n, b in model.named_buffers())
        device = next(model.parameters()).device
        flags = torch.stack([flag.to(device) for flag in good.values()])
        bad = [name for name, flag in zip(good, flags.tolist()) if not flag]
        if bad:
            raise UserError(
                f'training: expected finite weights at iteration '
                f'{runner.iter}, got NaN or Inf in {len(bad)} of {len(good)} '
                f'tensors, {bad[0]} among them; lower the learning rate or '
                'set optim_wrapper.clip_grad.'
            )

    def _read(self) -> None:
        """Reads what is kept; waits for the device once."""
        kept, self._kept = self._kept, []
        if not kept:
            return
        finite = torch.cat([each.values for each in kept]).isfinite()
        if finite.all():
            return
        losses = next(
            each for each in kept if not each.values.isfinite().all()
        )
        raise UserError(
            f'training: expected a finite loss, got {_named(losses)}; look at '
            'these samples, lower the learning rate, or leave such iterations '
            "out with dict(type='mmkd_custom.FiniteLossHook', action='skip') "
            'in custom_hooks.'
        )

    def _count(self, runner: Runner, losses: _Losses) -> None:
        info = runner.message_hub.runtime_info
        number = info.get(SKIPPED, 0) + 1
        runner.message_hub.update_info(SKIPPED, number)
        what = (
            'a loss of another rank is not finite'
            if losses.values.isfinite().all()
            else _named(losses)
        )
        runner.logger.warning(f'Left out: {what} ({number} so far).')


def _window(device: torch.device) -> int:
    """Gives the number of iterations that are read at once."""
    return 1 if device.type == 'cpu' else WINDOW


def _losses(
    iteration: int, data_batch: Any, outputs: dict
) -> Optional[_Losses]:
    """Copies what MMEngine adds up, and the sum."""
    terms = {name: v for name, v in outputs.items() if 'loss' in name}
    if not terms:
        return None
    # One launch: MMEngine has made scalars of them.
    values = torch.stack([torch.as_tensor(v).detach() for v in terms.values()])
    batch = data_batch if isinstance(data_batch, dict) else {}
    samples = batch.get('data_samples')
    return _Losses(
        iteration,
        list(terms),
        values,
        [getattr(s, 'metainfo', {}).get('sample_idx') for s in samples or ()],
    )


def _named(losses: _Losses) -> str:
    """Names the terms, of which the sum is one only if no other is."""
    bad = [
        f'{name}={value}'
        for name, value in zip(losses.names, losses.values.tolist())
        if not torch.tensor(value).isfinite()
    ]
    terms = [term for term in bad if not term.startswith('loss=')] or bad
    samples = ', '.join(map(str, losses.samples)) or 'unknown'
    return (
        f'{", ".join(terms)} in iteration {losses.iteration} (samples '
        f'{samples})'
    )
