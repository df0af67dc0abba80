"""Makes the global random state a function of the epoch."""

from __future__ import annotations

import random
from typing import Optional

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

    def before_train_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: Optional[dict] = None,
    ) -> None:
        """Reseeds before the first iteration of an epoch.

        Not before the epoch: a DataLoader draws from the global generator
        when it starts its workers, which a resumed run does at another epoch
        than the one it continues.
        """
        if batch_idx == 0:
            words = np.random.SeedSequence(
                [runner.seed, get_rank(), runner.epoch]
            ).generate_state(3)
            random.seed(int(words[0]))
            np.random.seed(int(words[1]))
            torch.manual_seed(int(words[2]))
