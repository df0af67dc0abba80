"""BatchNorm's statistics from one pass over chosen images, at the end."""

from __future__ import annotations

import copy
import time
from typing import Any, Iterator, List, Optional

import numpy as np
import torch
from mmengine.dist import get_dist_info
from mmengine.hooks import EMAHook, Hook
from mmengine.runner import Runner
from mmpretrain.structures import DataSample
from torch.utils.data import DataLoader

from ...datasets import SampleKey, TwoStreamDataset
from ...datasets.two_stream.views import compose
from ...datasets.wrappers import pipeline_of
from ...errors import UserError
from ...models.distillers import BaseDistiller
from ...models.options import checked_size
from ...registry import HOOKS
from ...stages import LABELLED, STUDENT, UNLABELLED
from ...utils.progress import progress
from ..batch_norm import batch_norms, copy_statistics, recompute
from ..unwrap import unwrapped

ALL, TEST = 'all', 'test'


@HOOKS.register_module()
class BatchNormStatisticsHook(Hook):
    """Recomputes the student's BatchNorm statistics when training is over.

    After the last iteration, before the last checkpoint, the last evaluation
    and ``student.pth``: running means and variances become those of one pass
    over the images of a stream of the training dataset, see
    :func:`~mmkd_custom.engine.batch_norm.recompute`. Of the unlabelled target
    images that is AdaBN (arXiv 1603.04779); no label is used. With an
    ``EMAHook`` the pass is the averaged student's, which is what is
    evaluated and saved. Works for any classifier on a ``TwoStreamDataset``;
    one without BatchNorm is left alone, with a warning.

    The order of the images is fixed and mixed, since those of a folder lie by
    class, and the ranks share the batches. Nothing of the course of the run
    depends on it: a run that is killed before the end has not come to it, and
    one that is killed after has its result in the checkpoint.

    Args:
        stream (str): 'unlabelled', 'labelled' or 'all', which includes
            synthetic images. Defaults to 'unlabelled'.
        view (str): 'test' for images as ``val_dataloader`` (else
            ``test_dataloader``) makes them, without augmentation: statistics
            are then those that the student meets when it is evaluated.
            'student' for the student's training view number 0. Defaults to
            'test'.
        batch_size (int): Images a batch. Defaults to 128.
        batches (int, optional): How many batches, of all ranks together.
            Defaults to None, each image once.

    Raises:
        UserError: If an option is another value.
    """

    # After EMAHook (NORMAL), which averages the last step, and before
    # ResultsHook (LOW) and CheckpointHook (VERY_LOW).
    priority = 'BELOW_NORMAL'

    def __init__(
        self,
        stream: str = UNLABELLED,
        view: str = TEST,
        batch_size: int = 128,
        batches: Optional[int] = None,
    ) -> None:
        for name, value, known in (
            ('stream', stream, (UNLABELLED, LABELLED, ALL)),
            ('view', view, (TEST, STUDENT)),
        ):
            if value not in known:
                raise _wrong(name, f'one of {known}', value)
        sizes = dict(batch_size=batch_size)
        if batches is not None:
            sizes.update(batches=batches)
        for name, value in sizes.items():
            checked_size(f'{type(self).__name__}.{name}', value)
        self.stream, self.view = stream, view
        self.batch_size, self.batches = batch_size, batches
        self._keys: List[SampleKey] = []

    def before_train(self, runner: Runner) -> None:
        """Looks for the images and the layers, while that costs nothing.

        Raises:
            UserError: If the training dataset is no ``TwoStreamDataset`` or
                the stream empty, or there is no pipeline of a test.
        """
        self._keys = []
        if not batch_norms(_student(unwrapped(runner))):
            runner.logger.warning(
                f'{type(self).__name__}: the student has no BatchNorm with '
                'running statistics; nothing will be recomputed.'
            )
            return
        dataset = runner.train_dataloader.dataset
        if not isinstance(dataset, TwoStreamDataset):
            raise UserError(
                f'{type(self).__name__}: train_dataloader.dataset: expected a '
                f'TwoStreamDataset, got a {type(dataset).__name__}.'
            )
        first = dataset.num_labelled
        indices = {
            LABELLED: range(first),
            UNLABELLED: range(first, first + dataset.num_unlabelled),
            ALL: range(len(dataset)),
        }[self.stream]
        if not indices:
            raise _wrong('stream', 'one with images', self.stream)
        if self.view == TEST:
            # The same samples with one view more; the run's own stays.
            dataset = copy.copy(dataset)
            dataset.pipelines = dict(
                dataset.pipelines, **{TEST: _test_pipeline(runner)}
            )
        order = np.random.RandomState(0).permutation(indices)
        if self.batches is not None:
            order = order[: self.batches * self.batch_size]
        self._dataset = dataset
        self._keys = [SampleKey(int(i), 0, (self.view,)) for i in order]

    def after_train_iter(self, runner: Runner, *_: Any, **__: Any) -> None:
        """Recomputes the statistics, once."""
        if not self._keys or not self.is_last_train_iter(runner):
            return
        start = time.time()
        model = unwrapped(runner)
        average = next(
            (h.ema_model for h in runner.hooks if isinstance(h, EMAHook)), None
        )
        student = _student(model if average is None else average.module)
        recompute(
            student,
            self._batches(runner, model.data_preprocessor),
            lambda images: student(images, mode='tensor'),
        )
        if average is not None and not average.update_buffers:
            # EMAHook evaluates averaged parameters with the model's buffers.
            copy_statistics(student, _student(model))
        which = 'student' if average is None else 'averaged student'
        runner.logger.info(
            f'BatchNorm statistics of the {which}: {len(self._keys)} images '
            f'({self.stream}, {self.view} view) in '
            f'{time.time() - start:.1f} s.'
        )

    def _batches(
        self, runner: Runner, preprocessor: torch.nn.Module
    ) -> Iterator[torch.Tensor]:
        """Loads this rank's batches, normalised as in an evaluation."""
        rank, world_size = get_dist_info()
        count = len(self._keys)
        # None much smaller than the others.
        chunks = np.array_split(
            np.arange(count), -(-count // self.batch_size)
        )[rank::world_size]
        loader = DataLoader(
            self._dataset,
            batch_sampler=[[self._keys[i] for i in chunk] for chunk in chunks],
            num_workers=runner.train_dataloader.num_workers,
            collate_fn=list,
            # Else it would draw from the generator that training draws from.
            generator=torch.Generator(),
        )
        total = sum(map(len, chunks))
        with progress('BatchNorm statistics', total, 'images') as bar:
            for items in loader:
                seen = [
                    item['inputs']
                    if self.view == STUDENT
                    else item['views'][self.view]
                    for item in items
                ]
                nothing = [DataSample() for _ in items]
                data = dict(inputs=seen, data_samples=nothing)
                yield preprocessor(data, False)['inputs']
                bar.advance(len(items))


def _student(model: torch.nn.Module) -> torch.nn.Module:
    return model.student if isinstance(model, BaseDistiller) else model


def _test_pipeline(runner: Runner) -> Any:
    for name in ('val_dataloader', 'test_dataloader'):
        config = (runner.cfg.get(name) or {}).get('dataset')
        steps: Optional[List] = config and pipeline_of(config)
        if steps:
            return compose(f'{name}.dataset.pipeline', steps)
    raise UserError(
        "BatchNormStatisticsHook.view: expected 'student', since there is "
        f'neither a val_dataloader nor a test_dataloader, got {TEST!r}.'
    )


def _wrong(option: str, expected: str, value: object) -> UserError:
    return UserError(
        f'BatchNormStatisticsHook.{option}: expected {expected}, got '
        f'{value!r}.'
    )
