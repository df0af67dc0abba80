"""Asks the teacher once about every fixed view, before training."""

from __future__ import annotations

from typing import Iterator, List

from mmengine.dist import all_reduce, get_dist_info
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner
from torch.utils.data import DataLoader

from ...datasets import SampleKey, TwoStreamDataset
from ...errors import UserError
from ...models.distillers import BaseDistiller, make_batch
from ...models.teachers import TeacherMemory
from ...progress import progress_bar
from ...registry import HOOKS


@HOOKS.register_module()
class TeacherMemoryHook(Hook):
    """Fills the distiller's :class:`TeacherMemory` before training.

    The sampler must cycle through a fixed number of views (``num_views``).
    Samples are asked about in a fixed order and in batches of a fixed size,
    so a resumed run, which fills the memory again, has the same features bit
    for bit. Does nothing for a model without a teacher.

    Args:
        standardize (bool): Whether each dimension of the feature is taken to
            mean 0 and variance 1 over all views. Defaults to False.
        batch_size (int): Images the teacher sees at once. Defaults to 64.
        max_gigabytes (float): Largest memory allowed. Defaults to 4.0.
    """

    # After the stages are set up, before anything trains.
    priority = 'ABOVE_NORMAL'

    def __init__(
        self,
        standardize: bool = False,
        batch_size: int = 64,
        max_gigabytes: float = 4.0,
    ) -> None:
        self.standardize = standardize
        self.batch_size = batch_size
        self.max_gigabytes = max_gigabytes

    def before_train(self, runner: Runner) -> None:
        """Fills the memory.

        Raises:
            UserError: If views are not fixed, or it would be too large.
        """
        model = runner.model
        model = model.module if is_model_wrapper(model) else model
        if not isinstance(model, BaseDistiller):
            return
        loader = runner.train_dataloader
        dataset = loader.dataset
        sampler = getattr(loader.batch_sampler, 'sampler', None)
        views = getattr(sampler, 'num_views', None)
        if not isinstance(dataset, TwoStreamDataset) or views is None:
            raise UserError(
                "TeacherMemoryHook: the teacher's outputs can be kept for a "
                'fixed number of views only; set train_dataloader.sampler.'
                'num_views of a TwoStreamSampler.'
            )
        if getattr(model.data_preprocessor, 'batch_augments', None):
            raise UserError(
                'TeacherMemoryHook: batch augmentations change the images '
                'after the teacher saw them; drop train_cfg.augments.'
            )
        width = model.teacher.feature_dim + (model.teacher.num_classes or 0)
        gigabytes = len(dataset) * views * width * 4 / 2**30
        if gigabytes > self.max_gigabytes:
            raise UserError(
                f'TeacherMemoryHook: {len(dataset)} samples of {views} views '
                f'take {gigabytes:.1f} GB, but max_gigabytes='
                f'{self.max_gigabytes}; lower num_views or raise it.'
            )
        memory = TeacherMemory(len(dataset), views)
        batches = self._batches(len(dataset), views)
        workers = DataLoader(
            dataset,
            batch_sampler=batches,
            num_workers=loader.num_workers,
            collate_fn=loader.collate_fn,
        )
        runner.logger.info(
            f'Teacher: {model.teacher.describe()}; asking it about '
            f'{len(dataset)} samples in {views} views ({gigabytes:.2f} GB)'
        )
        with progress_bar() as progress:
            for data in progress.track(
                workers, total=len(batches), description='teacher'
            ):
                data = model.data_preprocessor(data, False)
                batch = make_batch(**data)
                memory.write(batch.data_samples, model.ask_teacher(batch))
        for values in (memory.feature, memory.logits):
            if values is not None:
                all_reduce(values)
        if self.standardize:
            memory.standardize()
        model.teacher_memory = memory
        # Nobody looks at the teacher's images any more: the workers, which
        # start with the first epoch, need not make them.
        dataset.teacher_pipeline = None

    def _batches(self, samples: int, views: int) -> List[List[SampleKey]]:
        """Gives this rank's batches; the ranks' together hold every key."""
        rank, world_size = get_dist_info()
        keys = [
            SampleKey(index, view)
            for view in range(views)
            for index in range(samples)
        ]
        chunks: Iterator[int] = range(0, len(keys), self.batch_size)
        return [keys[i : i + self.batch_size] for i in chunks][
            rank::world_size
        ]
