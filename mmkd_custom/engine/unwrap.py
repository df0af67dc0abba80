"""The model of a runner, whatever distributes it, and hooks it must have."""

from __future__ import annotations

from typing import Any, Dict, Type

import torch.nn as nn
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner


def unwrapped(runner: Runner) -> nn.Module:
    """Returns the model itself.

    Args:
        runner (Runner): With its model built.

    Returns:
        nn.Module: Without what wraps it for several processes.
    """
    model = runner.model
    return model.module if is_model_wrapper(model) else model


def saved_weights(runner: Runner) -> Dict[str, Any]:
    """Returns the weights that a checkpoint would hold at this moment.

    Args:
        runner (Runner): With its model built.

    Returns:
        dict: With ``state_dict``; EMAHook puts the averaged weights into it.
    """
    checkpoint = dict(state_dict=unwrapped(runner).state_dict())
    runner.call_hook('before_save_checkpoint', checkpoint=checkpoint)
    return checkpoint


def ensure_hook(runner: Runner, kind: Type[Hook]) -> None:
    """Registers a hook of a kind that the runner has none of.

    Args:
        runner (Runner): Whose hooks are looked at.
        kind (type[Hook]): Built without arguments.
    """
    if not any(isinstance(hook, kind) for hook in runner.hooks):
        runner.register_hook(kind())
