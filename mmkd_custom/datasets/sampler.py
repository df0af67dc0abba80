"""Batches of labelled and unlabelled samples as a function of the epoch."""

from __future__ import annotations

from typing import Any, Iterator, List, Optional, Sequence, Tuple, Union

import numpy as np
from mmengine.dist import get_dist_info, sync_random_seed
from torch.utils.data import Sampler

from ..errors import UserError
from ..registry import DATA_SAMPLERS
from ..stages import DISTILLATION, LABELLED, UNLABELLED, Stage, StageSchedule
from .two_stream import SampleKey
from .views import derive_seed

LONGER = 'longer'


@DATA_SAMPLERS.register_module()
class TwoStreamSampler(Sampler):
    """Composes batches of both streams of a :class:`TwoStreamDataset`.

    Every stage walks every stream as an endless sequence of seeded
    permutations: position ``p`` of the walk is in pass ``p // n``. An epoch
    starts where the stage's previous epoch ended, which follows from the
    epoch number, so batches depend on (seed, epoch, number of ranks) only and
    a run may resume at any epoch. All ranks read one global sequence, of which
    each takes its own part of every batch.

    All epochs have the same number of batches, whatever their stage.

    Args:
        dataset (TwoStreamDataset): The dataset.
        labelled (int): Labelled images in a batch of one rank.
        unlabelled (int): Unlabelled images in a batch of one rank. 0 if the
            dataset has none. Defaults to 0.
        epoch_length (int | str): Batches an epoch. Defaults to 'longer': as
            many as go once through the stream that needs more of them; the
            other is repeated.
        num_views (int, optional): Cycle through this many views of every
            sample, one a pass. Defaults to None: a new view every time.
        streams (Sequence[str]): Streams that are drawn from until a schedule
            is set. A baseline that trains on labelled images alone draws
            ('labelled',) and has epochs of the same length as the method it
            is compared with. Defaults to both.
        seed (int, optional): Seed of the walk. Defaults to None, which draws
            one that all ranks share.
        shuffle (bool): Whether to permute the samples. Defaults to True.

    Raises:
        UserError: If an option is out of range or does not fit the dataset.
    """

    def __init__(
        self,
        dataset: Any,
        labelled: int,
        unlabelled: int = 0,
        epoch_length: Union[int, str] = LONGER,
        num_views: Optional[int] = None,
        streams: Sequence[str] = (LABELLED, UNLABELLED),
        seed: Optional[int] = None,
        shuffle: bool = True,
    ) -> None:
        self.sizes = {
            LABELLED: dataset.num_labelled,
            UNLABELLED: dataset.num_unlabelled,
        }
        self.counts = {LABELLED: labelled, UNLABELLED: unlabelled}
        self._check_counts()
        if epoch_length != LONGER and not _is_positive(epoch_length):
            raise UserError(
                "epoch_length: a number of batches >= 1 or 'longer' is "
                f'wanted, but got {epoch_length!r}.'
            )
        if num_views is not None and not _is_positive(num_views):
            raise UserError(
                'num_views: a whole number >= 1 or None is '
                f'wanted, but got {num_views!r}.'
            )
        self.rank, self.world_size = get_dist_info()
        self.epoch_length = epoch_length
        if epoch_length == LONGER:
            self.epoch_length = max(
                -(-self.sizes[stream] // (count * self.world_size))
                for stream, count in self.counts.items()
                if count
            )
        self.num_views = num_views
        self.seed = sync_random_seed() if seed is None else seed
        self.shuffle = shuffle
        self.epoch = 0
        self.streams = tuple(streams)
        self.set_schedule(
            StageSchedule([Stage(DISTILLATION, streams=self.streams)])
        )

    def set_schedule(self, schedule: StageSchedule) -> None:
        """Sets which streams the epochs draw from.

        Args:
            schedule (StageSchedule): Of the distiller.

        Raises:
            UserError: If a stage draws from no stream that the dataset has.
        """
        for stage in schedule.stages:
            if not any(self.counts.get(name) for name in stage.streams):
                raise UserError(
                    f'schedule: stage {stage.name!r} draws from '
                    f'{list(stage.streams)}, but the dataset has no such '
                    'stream.'
                )
        self.schedule = schedule
        # A name once, in order: two blocks of one stage continue one walk.
        self._stage_names = list(
            dict.fromkeys(stage.name for stage in schedule.stages)
        )

    def set_epoch(self, epoch: int) -> None:
        """Sets the epoch, counted from 0, that the next iteration draws."""
        self.epoch = epoch

    def batches(self) -> Iterator[List[SampleKey]]:
        """Draws this rank's batches of the current epoch.

        Yields:
            list[SampleKey]: A batch: labelled samples, then unlabelled ones,
            without the stream that the epoch's stage does not use.
        """
        stage = self.schedule(self.epoch)
        drawn = [
            self._draw(stage.name, stream)
            for stream, count in self.counts.items()
            if count and stream in stage.streams
        ]
        for number in range(self.epoch_length):
            yield [
                SampleKey(index, view)
                for indices, views in drawn
                for index, view in zip(
                    indices[number].tolist(), views[number].tolist()
                )
            ]

    def __iter__(self) -> Iterator[SampleKey]:
        for batch in self.batches():
            yield from batch

    def __len__(self) -> int:
        """Number of this rank's samples in the current epoch."""
        streams = self.schedule(self.epoch).streams
        return self.epoch_length * sum(
            count for name, count in self.counts.items() if name in streams
        )

    def _draw(self, stage: str, stream: str) -> Tuple[np.ndarray, np.ndarray]:
        """Gives indices and views, both (epoch_length, count)."""
        size, count = self.sizes[stream], self.counts[stream]
        shape = (self.epoch_length, self.world_size, count)
        draws = int(np.prod(shape))
        start = self.schedule.occurrence(self.epoch) * draws
        passes = np.arange(start, start + draws) // size
        walk = [
            self._order(stage, stream, number)
            for number in range(start // size, int(passes[-1]) + 1)
        ]
        indices = np.concatenate(walk)[start % size :][:draws]
        if stream == UNLABELLED:
            indices = indices + self.sizes[LABELLED]
        if self.num_views is not None:
            views = passes % self.num_views
        else:
            # Stages walk on their own: no two may show the same view.
            views = passes * len(self._stage_names) + self._stage_names.index(
                stage
            )
        return (
            indices.reshape(shape)[:, self.rank],
            views.reshape(shape)[:, self.rank],
        )

    def _order(self, stage: str, stream: str, number: int) -> np.ndarray:
        if not self.shuffle:
            return np.arange(self.sizes[stream])
        seed = derive_seed(self.seed, stage, stream, number)
        rng = np.random.RandomState(seed % 2**32)
        return rng.permutation(self.sizes[stream])

    def _check_counts(self) -> None:
        for stream, count in self.counts.items():
            size = self.sizes[stream]
            if count == 0 and size == 0 and stream == UNLABELLED:
                continue
            if not _is_positive(count):
                raise UserError(
                    f'batch size: {stream}={count!r} of the sampler is no '
                    f'whole number >= 1, but the dataset has {size} '
                    f'{stream} images.'
                )
            if size == 0:
                raise UserError(
                    f'batch size: {stream}={count} of the sampler asks for '
                    f'{stream} images, but the dataset has none.'
                )


@DATA_SAMPLERS.register_module()
class TwoStreamBatchSampler:
    """Hands the batches of a :class:`TwoStreamSampler` to a DataLoader.

    Args:
        sampler (TwoStreamSampler): The sampler; MMEngine reaches its
            ``set_epoch`` through the attribute of this name.
        batch_size (int): What the sampler draws for one: labelled +
            unlabelled.
        drop_last (bool): Not used, as batches always are full. Defaults to
            False.

    Raises:
        UserError: If the batch size is another one.
    """

    def __init__(
        self,
        sampler: TwoStreamSampler,
        batch_size: int,
        drop_last: bool = False,
    ) -> None:
        wanted = sum(
            count
            for stream, count in sampler.counts.items()
            if stream in sampler.streams
        )
        if batch_size != wanted:
            labelled, unlabelled = sampler.counts.values()
            raise UserError(
                f'batch_size: {wanted} is wanted, the sampler drawing '
                f'{" and ".join(sampler.streams)} with labelled={labelled} '
                f'and unlabelled={unlabelled}, but got {batch_size!r}.'
            )
        self.sampler = sampler
        self.batch_size = batch_size
        self.drop_last = drop_last

    def __iter__(self) -> Iterator[List[SampleKey]]:
        return self.sampler.batches()

    def __len__(self) -> int:
        return self.sampler.epoch_length


def _is_positive(value: Any) -> bool:
    return (
        isinstance(value, (int, np.integer))
        and not isinstance(value, bool)
        and value >= 1
    )
