"""A teacher's features of the labelled training images."""

from __future__ import annotations

from typing import Optional, Tuple

import numpy as np
import torch
from mmengine.dist import all_reduce
from mmengine.runner import Runner

from ...engine.teacher_pass import ask_about
from ...models.batch import hard_labels
from ...models.distillers import BaseDistiller
from ...models.outputs import FEATURE


def labelled_features(
    runner: Runner,
    model: BaseDistiller,
    teacher: str,
    batch_size: int,
    indices: Optional[np.ndarray] = None,
) -> Tuple[torch.Tensor, torch.Tensor]:
    """Returns features and labels of view 0, the same on all ranks.

    Args:
        runner (Runner): Whose training dataset it is.
        model (BaseDistiller): Its distiller.
        teacher (str): The teacher's name.
        batch_size (int): Images the teacher sees at once.
        indices (ndarray, optional): Which labelled images. Defaults to None,
            all.

    Returns:
        tuple[Tensor, Tensor]: (M, D) float32 and (M,), in order.
    """
    if indices is None:
        indices = np.arange(runner.train_dataloader.dataset.num_labelled)
    keys = np.stack([indices, np.zeros_like(indices)], 1)
    row = {int(index): i for i, index in enumerate(indices)}
    features = torch.zeros(len(row), model.teachers[teacher].feature_dim)
    targets = torch.zeros(len(row), dtype=torch.long)
    for samples, said in ask_about(
        runner, model, keys, batch_size, (FEATURE,), teacher
    ):
        rows = [row[s.metainfo['sample_idx']] for s in samples]
        features[rows] = said.feature.cpu()
        targets[rows] = hard_labels(samples).cpu()
    # What a rank has not looked at is zero there.
    all_reduce(features)
    all_reduce(targets)
    return features, targets
