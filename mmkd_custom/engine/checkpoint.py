"""Checkpoints that a kill cannot spoil, and loading that hides nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Union

from mmengine.fileio import LocalBackend, register_backend
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner

from ..errors import UserError
from ..files import mismatches, write_atomic
from ..registry import HOOKS


@register_backend('atomic')
class AtomicBackend(LocalBackend):
    """Local files that are either whole or not there.

    Used by ``CheckpointHook(backend_args=dict(backend='atomic'))``.
    """

    def put(self, obj: bytes, filepath: Union[str, Path]) -> None:
        """Writes bytes to a file in one step.

        Args:
            obj (bytes): The content.
            filepath (str | Path): The destination; its folder is made.
        """
        Path(filepath).parent.mkdir(parents=True, exist_ok=True)
        write_atomic(filepath, obj)


@HOOKS.register_module()
class StrictLoadHook(Hook):
    """Refuses a checkpoint whose keys or shapes differ from the model's.

    MMEngine loads with ``strict=False`` and only warns.
    """

    # Before any hook, such as EMAHook, takes weights out of the checkpoint.
    priority = 'VERY_HIGH'

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Checks the weights before they are copied into the model.

        Raises:
            UserError: If they do not fit; the sentence names the keys.
        """
        model = runner.model
        model = model.module if is_model_wrapper(model) else model
        problems = mismatches(model, checkpoint.get('state_dict', checkpoint))
        if problems:
            raise UserError(
                f'checkpoint {runner._load_from}: does not match '
                f'{type(model).__name__} ({"; ".join(problems)}).'
            )
