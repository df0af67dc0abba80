"""Embedded sentences on disk, and embedding them once."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import Any, Dict, Optional

import mmengine
import numpy as np
import open_clip
import torch
from mmengine.device import get_device
from mmengine.dist import barrier, get_dist_info

from ..cache.manifest import MADE_WITH
from ..cache.store import FeatureStore
from ..engine.together import by_rank_0, together
from ..errors import UserError
from ..models.outputs import FEATURE
from ..models.teachers.base import FrozenTeacher
from ..models.teachers.open_clip.text_tower import TextTower
from ..utils.progress import progress
from ..version import __version__
from .corpus import Corpus, Survey

#: Sentences that go through the text tower at once.
BATCH_SIZE = 512


class EmbeddedTexts:
    """Sentences of a corpus by their embeddings, which stay on disk.

    Args:
        store (FeatureStore): One entry a sentence, in the order of the corpus.
        rows (ndarray, optional): Those that are drawn of, sorted. Defaults to
            None, all.
    """

    def __init__(
        self, store: FeatureStore, rows: Optional[np.ndarray] = None
    ) -> None:
        self.store, self.rows = store, rows
        (self.width,) = store.shapes[FEATURE]

    def __len__(self) -> int:
        return self.store.samples if self.rows is None else len(self.rows)

    def read(self, rows: np.ndarray) -> torch.Tensor:
        """Reads embeddings.

        Args:
            rows (ndarray): (M,) places among those that are drawn of.

        Returns:
            Tensor: (M, D) float32.

        Raises:
            UserError: If an entry is damaged.
        """
        entries = rows if self.rows is None else self.rows[rows]
        return read_entries(self.store, entries)


def read_entries(store: FeatureStore, entries: np.ndarray) -> torch.Tensor:
    """Reads some of a store's sentences, (M, D) float32.

    Raises:
        UserError: If the bytes of one do not have their checksum.
    """
    samples = torch.from_numpy(np.ascontiguousarray(entries))
    found, right = store.read(samples, torch.zeros_like(samples))
    if not right.all():
        wrong = int(samples[~right][0])
        raise UserError(
            f'cache {store.folder}: expected sentence {wrong} with its '
            'checksum, got other bytes; delete the folder, and the corpus is '
            'embedded anew.'
        )
    return found[FEATURE]


def embed_corpus(
    corpus: Corpus,
    survey: Survey,
    teacher: FrozenTeacher,
    tower: TextTower,
    folder: Path,
    dtype: str = 'float16',
) -> FeatureStore:
    """Embeds each sentence that is not yet in a folder.

    To be called by all ranks, of which each embeds a part. Killed at any
    moment, the next call goes on where it ended.

    Args:
        corpus (Corpus): The sentences.
        survey (Survey): What is known of them.
        teacher (FrozenTeacher): The teacher whose tower it is.
        tower (TextTower): The text tower.
        folder (Path): Where the embeddings are, or are made.
        dtype (str): 'float16' or 'float32', on disk. Defaults to 'float16'.

    Returns:
        FeatureStore: Complete.

    Raises:
        UserError: If the folder has those of another corpus or teacher, or
            cannot be written to.
    """
    manifest = _manifest(survey, teacher, tower)

    def opened() -> FeatureStore:
        shapes = {FEATURE: (tower.width,)}
        return FeatureStore(folder, manifest, survey.count, 1, shapes, dtype)

    # First rank 0 alone: a hundred ranks need not make a hundred stores.
    by_rank_0(lambda: opened().count_missing())
    store = together(opened)
    if by_rank_0(store.count_missing):
        together(lambda: _fill(store, corpus, tower.to(get_device())))
        store.flush()
    barrier()
    return store


def _fill(store: FeatureStore, corpus: Corpus, tower: TextTower) -> None:
    rank, world_size = get_dist_info()
    first = 0
    with progress('embedding texts', store.samples, 'sentences') as bar:
        for number, batch in enumerate(corpus.batches(BATCH_SIZE)):
            samples = torch.arange(first, first + len(batch))
            first += len(batch)
            views = torch.zeros_like(samples)
            missing = number % world_size == rank and not bool(
                store.present(samples, views).all()
            )
            if missing:
                store.write(samples, views, {FEATURE: tower.embed(batch)})
            bar.advance(len(batch))


def _manifest(
    survey: Survey, teacher: FrozenTeacher, tower: TextTower
) -> Dict[str, Any]:
    """Describes what the embeddings depend on."""
    layers = re.sub(r' at 0x[0-9a-f]+', '', repr(tower))
    return {
        'corpus_sha256': survey.sha256,
        'teacher': teacher.name,
        'teacher_sha256': teacher.digest(),
        'text_tower_sha256': tower.digest(),
        'text_tower_layers': hashlib.sha256(layers.encode()).hexdigest(),
        MADE_WITH: dict(
            mmkd_custom=__version__,
            torch=torch.__version__,
            mmengine=mmengine.__version__,
            open_clip=open_clip.__version__,
        ),
    }
