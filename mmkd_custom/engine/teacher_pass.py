"""One pass of the teacher over given views of the training samples."""

from __future__ import annotations

from contextlib import contextmanager
from typing import Iterator, List, Optional, Sequence, Tuple

from mmengine.dist import get_dist_info
from mmengine.runner import Runner
from mmpretrain.structures import DataSample
from torch.utils.data import DataLoader, Dataset

from ..datasets import SampleKey, TwoStreamDataset
from ..errors import UserError
from ..models.distillers import BaseDistiller, make_batch
from ..models.teachers import TeacherOutput
from ..progress import progress_bar
from .unwrap import unwrapped


def distiller_of(runner: Runner, asking: str) -> Optional[BaseDistiller]:
    """Gives the distiller whose teacher can be asked about views.

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
    if not isinstance(model, BaseDistiller):
        return None
    dataset = runner.train_dataloader.dataset
    if not isinstance(dataset, TwoStreamDataset):
        raise UserError(
            f'{asking}: train_dataloader.dataset is a '
            f'{type(dataset).__name__}, but a TwoStreamDataset is wanted.'
        )
    if getattr(model.data_preprocessor, 'batch_augments', None):
        raise UserError(
            f'{asking}: batch augmentations change the images after the '
            'teacher saw them; drop train_cfg.augments.'
        )
    return model


def ask_about(
    runner: Runner,
    model: BaseDistiller,
    views: Sequence[int],
    batch_size: int,
) -> Iterator[Tuple[List[DataSample], TeacherOutput]]:
    """Asks the teacher about every sample in some views, with a progress bar.

    In a fixed order and in batches of a fixed size, so that a resumed run
    gets the same outputs bit for bit. The ranks share the batches.

    Args:
        runner (Runner): Whose training dataset is walked.
        model (BaseDistiller): Its distiller.
        views (Sequence[int]): View numbers.
        batch_size (int): Images the teacher sees at once.

    Yields:
        tuple[list[DataSample], TeacherOutput]: This rank's batches.
    """
    loader = runner.train_dataloader
    keys = [
        SampleKey(index, view)
        for view in views
        for index in range(len(loader.dataset))
    ]
    rank, world_size = get_dist_info()
    chunks = [
        keys[start : start + batch_size]
        for start in range(0, len(keys), batch_size)
    ][rank::world_size]
    workers = DataLoader(
        loader.dataset,
        batch_sampler=chunks,
        num_workers=loader.num_workers,
        collate_fn=loader.collate_fn,
    )
    with _without_strong_views(loader.dataset), progress_bar() as progress:
        for data in progress.track(
            workers, total=len(chunks), description='teacher'
        ):
            batch = make_batch(**model.data_preprocessor(data, False))
            yield batch.data_samples, model.ask_teacher(batch)


@contextmanager
def _without_strong_views(dataset: Dataset) -> Iterator[None]:
    """Spares the views that no teacher sees."""
    strong = getattr(dataset, 'strong_pipeline', None)
    if strong is not None:
        dataset.strong_pipeline = None
    try:
        yield
    finally:
        if strong is not None:
            dataset.strong_pipeline = strong
