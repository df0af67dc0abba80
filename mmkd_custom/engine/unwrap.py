"""The model of a runner, whatever distributes it, and hooks it must have."""

from __future__ import annotations

from typing import Type

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


def ensure_hook(runner: Runner, kind: Type[Hook]) -> None:
    """Registers a hook of a kind that the runner has none of.

    Args:
        runner (Runner): Whose hooks are looked at.
        kind (type[Hook]): Built without arguments.
    """
    if not any(isinstance(hook, kind) for hook in runner.hooks):
        runner.register_hook(kind())
