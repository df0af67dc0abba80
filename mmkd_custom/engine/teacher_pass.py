"""One pass of the teacher over given views of the training samples."""

from __future__ import annotations

from typing import Callable, Dict, Iterator, List, Optional, Sequence, Tuple

import numpy as np
import torch
from mmengine.dist import all_reduce, get_dist_info
from mmengine.runner import Runner
from mmpretrain.structures import DataSample
from torch.utils.data import DataLoader, Dataset

from ..datasets import SampleKey, TwoStreamDataset
from ..errors import UserError
from ..models.batch import Batch
from ..models.distillers import BaseDistiller
from ..models.outputs import FEATURE, Outputs
from ..stages import TEACHER
from ..utils.progress import progress
from .unwrap import unwrapped


def distiller_of(runner: Runner, asking: str) -> Optional[BaseDistiller]:
    """Returns the distiller whose teachers can be asked about views.

    Args:
        runner (Runner): With its model and training loader built.
        asking (str): Who asks, for the error.

    Returns:
        BaseDistiller: None for a model without a teacher.

    Raises:
        UserError: If the images that the teacher gets are not those of a
            :class:`~mmkd_custom.datasets.TwoStreamDataset`.
    """
    model = unwrapped(runner)
    if not isinstance(model, BaseDistiller) or not model.teachers:
        return None
    dataset = runner.train_dataloader.dataset
    if not isinstance(dataset, TwoStreamDataset):
        raise UserError(
            f'{asking}: train_dataloader.dataset: expected a '
            f'TwoStreamDataset, got a {type(dataset).__name__}.'
        )
    if getattr(model.data_preprocessor, 'batch_augments', None):
        raise UserError(
            f'{asking}: expected images that are not mixed with each other, '
            'got batch augmentations; drop train_cfg.augments or the '
            f'{asking}.'
        )
    return model


def name_images(runner: Runner, model: BaseDistiller) -> None:
    """Has the keys of each batch name the images that networks look at.

    Those of the stage of the epoch that the sampler draws, which may be
    ahead; without those of teachers who know what they will be asked.

    Args:
        runner (Runner): With its training loader built.
        model (BaseDistiller): Its distiller.
    """
    batches = runner.train_dataloader.batch_sampler
    asked = {name: model.asked(name) for name in model.teachers}
    known: Dict[Tuple[str, ...], Tuple[str, ...]] = {}

    def mark(keys: List[SampleKey]) -> List[SampleKey]:
        pairs = torch.tensor([key[:2] for key in keys])
        recalled = [
            name
            for name, teacher in model.teachers.items()
            if teacher.holds(pairs, asked[name])
        ]
        stage = model.schedule(batches.sampler.epoch).name
        case = (stage, *recalled)
        if case not in known:
            known[case] = model.images(stage, recalled)
        return [key._replace(images=known[case]) for key in keys]

    batches.mark = mark


def every_sample(dataset: Dataset, views: Sequence[int]) -> np.ndarray:
    """Names every sample of a dataset in some views.

    Args:
        dataset (Dataset): Any :class:`~mmkd_custom.datasets.TwoStreamDataset`.
        views (Sequence[int]): View numbers.

    Returns:
        np.ndarray: (M, 2) sample and view, view by view.
    """
    samples = np.tile(np.arange(len(dataset)), len(views))
    return np.stack([samples, np.repeat(views, len(dataset))], 1)


def teacher_features(
    runner: Runner,
    model: BaseDistiller,
    name: str = TEACHER,
    batch_size: int = 64,
) -> torch.Tensor:
    """Returns a teacher's feature of every training sample, on all ranks.

    The mean over the views that its cache keeps: all K seeded ones, or the
    clean one; without a cache that of view 0. Each rank asks about its part,
    and of what the cache holds no image is made. After StandardizeTeacherHook
    the feature is the standardised one.

    Args:
        runner (Runner): Whose training dataset is asked about.
        model (BaseDistiller): Its distiller.
        name (str): The teacher's. Defaults to 'teacher'.
        batch_size (int): Images the teacher sees at once. Defaults to 64.

    Returns:
        Tensor: (number of samples, D) float32 on the CPU, in the order of the
        dataset's indices, the same on every rank.
    """
    dataset, teacher = runner.train_dataloader.dataset, model.teachers[name]
    features = torch.zeros(len(dataset), teacher.feature_dim)
    keys = every_sample(dataset, range(teacher.kept_views))
    for samples, output in ask_about(
        runner, model, keys, batch_size, (FEATURE,), name
    ):
        rows = torch.tensor([s.metainfo['sample_idx'] for s in samples])
        features.index_add_(0, rows, output.feature.cpu())
    # What a rank was not asked about is zero there.
    all_reduce(features)
    return features.div_(teacher.kept_views)


def ask_about(
    runner: Runner,
    model: BaseDistiller,
    keys: np.ndarray,
    batch_size: int,
    wants: Sequence[str],
    teacher: str = TEACHER,
) -> Iterator[Tuple[List[DataSample], Outputs]]:
    """Asks a teacher about some samples, with a progress bar.

    What a cache holds is read, and no image is made for it; what it does not
    hold is added.

    Args:
        runner (Runner): Whose training dataset is asked about.
        model (BaseDistiller): Its distiller.
        keys (np.ndarray): (M, 2) sample and view.
        batch_size (int): Images the teacher sees at once.
        wants (Sequence[str]): What it is asked for.
        teacher (str): Its name. Defaults to 'teacher'.

    Yields:
        tuple[list[DataSample], Outputs]: This rank's batches.
    """
    asked = model.teachers[teacher]

    def images(part: torch.Tensor) -> Tuple[str, ...]:
        return () if asked.holds(part, wants) else (TEACHER,)

    for batch in batches_of(runner, model, keys, batch_size, images):
        yield batch.samples, asked.ask(batch, wants)


def batches_of(
    runner: Runner,
    model: BaseDistiller,
    keys: np.ndarray,
    batch_size: int,
    images: Callable[[torch.Tensor], Tuple[str, ...]] = lambda _: (TEACHER,),
    doing: str = 'asking the teacher',
) -> Iterator[Batch]:
    """Loads some samples, preprocessed, with a progress bar.

    In a fixed order and in batches of a fixed size, so that a resumed run
    gets the same bit for bit. The ranks share the batches.

    Args:
        runner (Runner): Whose training dataset is read.
        model (BaseDistiller): Its distiller.
        keys (np.ndarray): (M, 2) sample and view.
        batch_size (int): Images in a batch.
        images (Callable): Returns the views to make for the keys of a batch.
            Defaults to the teacher's.
        doing (str): What it is for, for the bar. Defaults to 'asking the
            teacher'.

    Yields:
        Batch: This rank's batches.
    """
    loader = runner.train_dataloader
    chunks = _Chunks(keys, batch_size, images)
    workers = DataLoader(
        loader.dataset,
        batch_sampler=chunks,
        num_workers=loader.num_workers,
        collate_fn=loader.collate_fn,
    )
    with progress(doing, chunks.count, 'images') as bar:
        for data in workers:
            batch = model.batch(**model.data_preprocessor(data, True))
            yield batch
            bar.advance(len(batch.samples))


class _Chunks:
    """This rank's batches of keys, made one by one."""

    def __init__(
        self,
        keys: np.ndarray,
        batch_size: int,
        images: Callable[[torch.Tensor], Tuple[str, ...]],
    ) -> None:
        rank, world_size = get_dist_info()
        self.starts = range(0, len(keys), batch_size)[rank::world_size]
        self.keys, self.batch_size, self.images = keys, batch_size, images

    @property
    def count(self) -> int:
        """int: This rank's keys."""
        return sum(
            len(self.keys[start : start + self.batch_size])
            for start in self.starts
        )

    def __len__(self) -> int:
        return len(self.starts)

    def __iter__(self) -> Iterator[List[SampleKey]]:
        for start in self.starts:
            part = self.keys[start : start + self.batch_size]
            images = self.images(torch.from_numpy(part))
            yield [SampleKey(*key, images) for key in part.tolist()]
