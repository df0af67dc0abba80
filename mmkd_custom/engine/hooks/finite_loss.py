"""No result, and no file, of a loss that is not a number."""

from __future__ import annotations

import math
from typing import Any, Dict, List, Optional

import torch
from mmengine.dist import all_reduce
from mmengine.hooks import CheckpointHook, Hook
from mmengine.runner import Runner

from ...errors import UserError
from ...registry import HOOKS
from ..unwrap import unwrapped

#: Where the number of skipped iterations travels: message hub, results.
SKIPPED = 'skipped_iterations'


@HOOKS.register_module()
class FiniteLossHook(Hook):
    """Stops at a loss that is NaN or infinite, before anything is saved.

    Weights are looked at before they are saved, because a finite loss may
    have had gradients that were not. A loss scaler, which meets infinite
    gradients and steps over them, is not concerned.

    Args:
        action (str): 'raise' stops. 'skip' leaves the iteration out: weights
            and statistics stay as they were, on all ranks; the log names the
            samples, and the results have the number of iterations left out.
            Defaults to 'raise'.

    Raises:
        UserError: If ``action`` is something else.
    """

    # Before every hook that evaluates, averages, saves, or reads a loss.
    priority = 9

    def __init__(self, action: str = 'raise') -> None:
        if action not in ('raise', 'skip'):
            raise UserError(
                f"FiniteLossHook: expected action='raise' or 'skip', got "
                f'{action!r}.'
            )
        self.action = action
        self._buffers: List[torch.Tensor] = []
        #: Whether the last iteration was left out.
        self.skipped = False

    def before_train(self, runner: Runner) -> None:
        """Gets between loss and optimiser, if iterations may be left out."""
        if self.action != 'skip':
            return
        wrapper = runner.optim_wrapper
        wrappers = getattr(wrapper, 'optim_wrappers', {'': wrapper}).values()
        counts = [getattr(w, '_accumulative_counts', 1) for w in wrappers]
        if max(counts) > 1:
            raise UserError(
                'FiniteLossHook: expected optim_wrapper.accumulative_counts=1 '
                f"with action='skip', got {max(counts)}."
            )
        update = wrapper.update_params

        def update_if_finite(loss: torch.Tensor, *args, **kwargs) -> None:
            finite = loss.detach().isfinite().all().float()
            all_reduce(finite, 'min')
            self.skipped = not finite
            if not self.skipped:
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

    def before_train_iter(self, runner: Runner, *_: Any, **__: Any) -> None:
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
        """Looks at the losses that MMEngine adds up, and at their sum.

        Raises:
            UserError: If one is not finite; the sentence names it, the
                iteration and the samples.
        """
        outputs = {} if outputs is None else outputs
        outputs.update(_numbers(outputs))
        losses = {k: v for k, v in outputs.items() if 'loss' in k}
        if self.action == 'skip':
            if self.skipped:
                self._count(runner, losses, data_batch)
            return
        if not all(map(math.isfinite, losses.values())):
            raise UserError(
                'training: expected a finite loss, got '
                f'{_named(losses, runner, data_batch)}; look at these '
                'samples, lower the learning rate, or leave such iterations '
                "out with dict(type='mmkd_custom.FiniteLossHook', "
                "action='skip') in custom_hooks."
            )
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

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Looks before anything else is saved."""
        self._look_at(runner)

    def _look_at(self, runner: Runner) -> None:
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

    def _count(self, runner: Runner, losses: dict, data_batch: Any) -> None:
        number = runner.message_hub.runtime_info.get(SKIPPED, 0) + 1
        runner.message_hub.update_info(SKIPPED, number)
        what = (
            'a loss of another rank is not finite'
            if all(map(math.isfinite, losses.values()))
            else _named(losses, runner, data_batch)
        )
        runner.logger.warning(f'Left out: {what} ({number} so far).')


def _numbers(outputs: Dict[str, Any]) -> Dict[str, float]:
    """Reads scalars; those of a device in one copy, which is waited for."""
    there = {
        name: value.detach().double()
        for name, value in outputs.items()
        if torch.is_tensor(value) and value.numel() == 1 and value.is_cuda
    }
    numbers = {
        name: value.item()
        for name, value in outputs.items()
        if torch.is_tensor(value) and value.numel() == 1 and name not in there
    }
    if there:
        stacked = torch.stack([value.flatten()[0] for value in there.values()])
        numbers.update(zip(there, stacked.tolist()))
    return numbers


def _named(losses: Dict[str, float], runner: Runner, data_batch: Any) -> str:
    """Names the terms, of which the sum is one only if no other is."""
    bad = [k for k, v in losses.items() if not math.isfinite(v)]
    terms = [name for name in bad if name != 'loss'] or bad
    batch = data_batch if isinstance(data_batch, dict) else {}
    samples = ', '.join(
        str(getattr(sample, 'metainfo', {}).get('sample_idx'))
        for sample in batch.get('data_samples') or ()
    )
    values = ', '.join(f'{name}={losses[name]}' for name in terms)
    return (
        f'{values} in iteration {runner.iter + 1} (samples '
        f'{samples or "unknown"})'
    )
