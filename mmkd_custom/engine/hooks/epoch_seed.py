"""Makes the global random state a function of the epoch."""

from __future__ import annotations

import random

import numpy as np
import torch
from mmengine.dist import get_rank
from mmengine.hooks import Hook
from mmengine.runner import Runner

from ...registry import HOOKS


@HOOKS.register_module()
class EpochSeedHook(Hook):
    """Reseeds Python, NumPy and torch from (seed, rank, epoch) each epoch.

    MMEngine's checkpoints hold no random state. With this hook none is
    needed: dropout, DropPath and batch augmentations of an epoch are the same
    whether the run was interrupted before it or not.
    """

    priority = 'VERY_HIGH'

    def before_train_epoch(self, runner: Runner) -> None:
        """Reseeds for the epoch that is about to start."""
        words = np.random.SeedSequence(
            [runner.seed, get_rank(), runner.epoch]
        ).generate_state(3)
        random.seed(int(words[0]))
        np.random.seed(int(words[1]))
        torch.manual_seed(int(words[2]))
