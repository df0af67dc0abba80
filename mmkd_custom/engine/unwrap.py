"""The model of a runner, whatever distributes it."""

from __future__ import annotations

import torch.nn as nn
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner


def unwrapped(runner: Runner) -> nn.Module:
    """Gives the model itself.

    Args:
        runner (Runner): With its model built.

    Returns:
        nn.Module: Without what wraps it for several processes.
    """
    model = runner.model
    return model.module if is_model_wrapper(model) else model
