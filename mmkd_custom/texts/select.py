"""The sentences of a corpus that are near to the images at hand.

How DIME-FM chose its texts is not public; this is ours: docs/dime_fm.md.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F

from ..cache.store import FeatureStore
from ..utils.progress import progress
from .embedded import read_entries

#: Embeddings of sentences that are compared at once, and images likewise.
TEXTS, IMAGES = 65536, 4096


def first_of_each(wordings: np.ndarray) -> np.ndarray:
    """Returns where each wording is for the first time, sorted."""
    return np.sort(np.unique(wordings, return_index=True)[1])


@torch.no_grad()
def nearest_texts(
    images: torch.Tensor,
    store: FeatureStore,
    candidates: np.ndarray,
    nearest: int,
) -> np.ndarray:
    """Chooses the sentences that are among the nearest to some image.

    Args:
        images (Tensor): The teacher's embeddings (N, D) of the images, on the
            device that compares.
        store (FeatureStore): Its embeddings of the sentences, of which a
            block at a time is read.
        candidates (ndarray): Entries to choose from, sorted.
        nearest (int): k, how many for each image; all if there are fewer.

    Returns:
        ndarray: Entries, sorted, each once; int64.
    """
    images = F.normalize(images.float(), dim=1)
    count = min(nearest, len(candidates))
    best = images.new_full((len(images), count), -2.0)
    chosen = torch.full_like(best, -1, dtype=torch.int64)
    with progress('choosing texts', len(candidates), 'sentences') as bar:
        for start in range(0, len(candidates), TEXTS):
            entries = candidates[start : start + TEXTS]
            texts = read_entries(store, entries).to(images.device)
            texts = F.normalize(texts, dim=1)
            numbers = torch.from_numpy(entries).to(images.device)
            for first in range(0, len(images), IMAGES):
                rows = slice(first, first + IMAGES)
                cosines = images[rows] @ texts.T
                value, at = cosines.topk(min(count, len(entries)), dim=1)
                found = torch.cat([best[rows], value], 1)
                known = torch.cat([chosen[rows], numbers[at]], 1)
                best[rows], at = found.topk(count, dim=1)
                chosen[rows] = known.gather(1, at)
            bar.advance(len(entries))
    return torch.unique(chosen[chosen >= 0]).cpu().numpy()
