"""Student and teachers asked about chosen training images, and no more.

Nothing is stored and nothing drawn from the random numbers of a run.
"""

from __future__ import annotations

from typing import Any, Dict, Iterator, Sequence

import numpy as np
import torch
from mmengine.dataset import pseudo_collate
from torch.utils.data import DataLoader

from ..datasets import SampleKey, TwoStreamDataset
from ..datasets.two_stream.views import seeded_rng
from ..models.batch import Batch
from ..models.distillers.taught import TaughtClassifier
from ..models.outputs import FEATURE
from ..stages import STUDENT, TEACHER

#: Which view of each image is asked about.
VIEW = 0


@torch.no_grad()
def features_of(
    dataset: TwoStreamDataset,
    model: TaughtClassifier,
    indices: np.ndarray,
    who: Sequence[str],
    batch_size: int = 64,
    workers: int = 0,
) -> Dict[str, torch.Tensor]:
    """Asks networks for their feature of the first view of some images.

    What a teacher's cache holds is read; the rest is computed and not added,
    because a run computes it in other batches, which may round otherwise.

    Args:
        dataset (TwoStreamDataset): The training images.
        model (TaughtClassifier): In ``eval()``.
        indices (np.ndarray): (N,) sorted indices into the dataset.
        who (Sequence[str]): 'student' and names of teachers.
        batch_size (int): Images seen at once. Defaults to 64.
        workers (int): Processes that load. Defaults to 0.

    Returns:
        dict[str, Tensor]: Features (N, D) on the host by name.
    """
    teachers = {n: model.teachers[n] for n in who if n != STUDENT}
    keys = torch.tensor([(index, VIEW) for index in indices])
    known = [n for n, t in teachers.items() if t.holds(keys, (FEATURE,))]
    images = (
        *((STUDENT,) if STUDENT in who else ()),
        *((TEACHER,) if len(known) < len(teachers) else ()),
    )
    found: Dict[str, list] = {name: [] for name in who}
    with seeded_rng(0):
        for batch in _batches(
            dataset, model, indices, images, batch_size, workers
        ):
            for name in who:
                if name == STUDENT:
                    said = model.student_view.ask(batch, (FEATURE,))
                elif name in known:
                    said = teachers[name].ask(batch, (FEATURE,))
                else:
                    said = ask_live(teachers[name], batch, (FEATURE,))
                found[name].append(said.feature.float().cpu())
    return {name: torch.cat(parts) for name, parts in found.items()}


def ask_live(teacher: Any, batch: Batch, wants: Sequence[str]) -> Any:
    """Asks a teacher, past the cache around it if there is one."""
    own = TEACHER if TEACHER in batch.views else STUDENT
    images = teacher.prepare(batch.image(own), *batch.pixels)
    return teacher(images, wants)


def _batches(
    dataset: TwoStreamDataset,
    model: TaughtClassifier,
    indices: np.ndarray,
    images: Sequence[str],
    size: int,
    workers: int,
) -> Iterator[Batch]:
    keys = [SampleKey(int(i), VIEW, tuple(images)) for i in indices]
    chunks = [keys[i : i + size] for i in range(0, len(keys), size)]
    for data in DataLoader(
        dataset,
        batch_sampler=chunks,
        num_workers=workers,
        collate_fn=pseudo_collate,
    ):
        yield model.batch(**model.data_preprocessor(data, False))
