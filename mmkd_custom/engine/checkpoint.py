"""Checkpoints that a kill cannot spoil, and loading that hides nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Union

from mmengine.fileio import LocalBackend, register_backend
from mmengine.hooks import Hook
from mmengine.model import BaseTTAModel
from mmengine.runner import Runner

from ..errors import UserError
from ..files import RUN_KEY, differing, mismatches, run_of, write_atomic
from ..registry import HOOKS
from .unwrap import unwrapped


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

    MMEngine loads with ``strict=False`` and only warns. Nor does it care
    whose checkpoint a run is resumed from: one that says it is of another run
    than :class:`~mmkd_custom.engine.ResultsHook` says this is, is refused.
    """

    # Before any hook, such as EMAHook, takes weights out of the checkpoint.
    priority = 'VERY_HIGH'

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Checks the checkpoint before it is copied into model and runner.

        Raises:
            UserError: If a run would be resumed from one of another run (the
                sentence names the field that differs), or the weights do not
                fit (the sentence names the keys).
        """
        if runner._resume:
            wanted = runner.message_hub.runtime_info.get(RUN_KEY, {})
            found = run_of(checkpoint)
            field = differing(found, wanted)
            if field is not None:
                raise UserError(
                    f'checkpoint {runner._load_from}: is of a run with '
                    f'{field}={found[field]!r}, but {field}='
                    f'{wanted[field]!r} is asked for; choose another '
                    '--work-dir, or leave --resume out to start in its place.'
                )
        model = unwrapped(runner)
        # As MMEngine does when it loads.
        model = model.module if isinstance(model, BaseTTAModel) else model
        problems = mismatches(model, checkpoint.get('state_dict', checkpoint))
        if problems:
            raise UserError(
                f'checkpoint {runner._load_from}: does not match '
                f'{type(model).__name__} ({"; ".join(problems)}).'
            )
