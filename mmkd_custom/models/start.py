"""A start that two runs share, whatever else each of them builds."""

from __future__ import annotations

import torch
import torch.nn as nn

from ..errors import UserError
from ..registry import WEIGHT_INITIALIZERS


@WEIGHT_INITIALIZERS.register_module()
class SeededStart:
    """Draws a network's weights from a seed of their own.

    A run's seed makes its student the same each time, but not the same as the
    student of a run with another teacher, whose layers are drawn first. With
    ``model.student.init_cfg=dict(type='SeededStart')`` in both, the students
    start alike. Ours. The run goes on from the state that this leaves, which
    ``EpochSeedHook`` replaces before each epoch.

    Args:
        seed (int): The seed. Defaults to 0.

    Raises:
        UserError: If it is no integer >= 0.
    """

    def __init__(self, seed: int = 0) -> None:
        if type(seed) is not int or seed < 0:
            raise UserError(
                f'SeededStart.seed: expected an integer >= 0, got {seed!r}.'
            )
        self.seed = seed

    def __call__(self, module: nn.Module) -> None:
        """Draws anew what layers drew when they were built.

        MMEngine calls it before the network's own initialisation, which is
        drawn from the same seed then.

        Args:
            module (nn.Module): The network.
        """
        torch.manual_seed(self.seed)
        for layer in module.modules():
            if hasattr(layer, 'reset_parameters'):
                layer.reset_parameters()
