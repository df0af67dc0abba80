"""Batches of all streams as a function of the epoch."""

from __future__ import annotations

from typing import Any, Iterator, List, Optional, Sequence, Union

import numpy as np
from mmengine.dist import get_dist_info, sync_random_seed
from torch.utils.data import Sampler

from ...errors import UserError, nearest
from ...registry import DATA_SAMPLERS
from ...stages import (
    DISTILLATION,
    LABELLED,
    STREAMS,
    UNLABELLED,
    Stage,
    StageSchedule,
    draws,
)
from .keys import SampleKey
from .views import derive_seed

LONGER = 'longer'
#: Epoch lengths by name: once through one of these streams.
POLICIES = (LONGER, LABELLED, UNLABELLED)


@DATA_SAMPLERS.register_module()
class TwoStreamSampler(Sampler):
    """Composes batches of all streams of a :class:`TwoStreamDataset`.

    Every stage walks every stream as an endless sequence of seeded
    permutations: position ``p`` of the walk is in pass ``p // n``. An epoch
    starts where the stage's previous epoch ended, which follows from the
    epoch number, so batches depend on (seed, epoch, number of ranks) only and
    a run may resume at any epoch. All ranks read one global sequence, of which
    each takes its own part of every batch.

    All epochs have the same number of batches, whatever their stage, and all
    batches are full. Of a stream of n samples, of which all ranks together
    draw c a batch, an epoch of the length of the stream has ceil(n / c)
    batches: its last one is filled up from the next pass, with which the next
    epoch goes on. With ``drop_last`` it has floor(n / c) batches and is a
    pass of its own: it shows no sample of that stream twice, and n mod c of
    them, others in every epoch, not at all.

    Args:
        dataset (TwoStreamDataset): The dataset.
        labelled (int): Labelled images in a batch of one rank.
        unlabelled (int): Unlabelled images in a batch of one rank. 0 if the
            dataset has none. Defaults to 0.
        epoch_length (int | str): Batches an epoch. 'labelled' or
            'unlabelled': as many as go once through that stream. 'longer':
            the larger number of these two; synthetic images do not count, so
            a run with them has epochs as long as one without. Defaults to
            'longer'.
        num_views (int, optional): Cycle through this many views of every
            sample, one a pass. Defaults to None: a new view every time.
        streams (Sequence[str]): Streams that are drawn from, of those that a
            stage wants; 'unlabelled' brings synthetic images along. A baseline
            that trains on labelled images alone draws ('labelled',) and has
            epochs of the same length as the method it is compared with.
            Defaults to labelled and unlabelled.
        seed (int, optional): Seed of the walk. Defaults to None, which draws
            one that all ranks share.
        shuffle (bool): Whether to permute the samples. Defaults to True.
        synthetic (int): Synthetic images in a batch of one rank. 0 if the
            dataset has none. Defaults to 0.
        drop_last (bool): Whether an epoch whose length is that of a stream
            ends before the batch that would run over into the next pass. A
            number of batches is taken as it is. Defaults to False.

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
        synthetic: int = 0,
        drop_last: bool = False,
    ) -> None:
        self.sizes = {
            stream: getattr(dataset, f'num_{stream}', 0) for stream in STREAMS
        }
        self.counts = dict(zip(STREAMS, (labelled, unlabelled, synthetic)))
        self._check_counts()
        if num_views is not None and not _is_positive(num_views):
            raise UserError(
                'num_views: expected a whole number >= 1 or None, got '
                f'{num_views!r}.'
            )
        for name in streams:
            if name not in STREAMS:
                raise UserError(
                    f'streams: expected names out of {", ".join(STREAMS)}, '
                    f'got {name!r} ({nearest(str(name), STREAMS)}).'
                )
        self.rank, self.world_size = get_dist_info()
        self.drop_last = drop_last
        # Streams whose every epoch is a pass of its own.
        self._one_pass: List[str] = []
        self.epoch_length = self._resolve_length(epoch_length)
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

        Raises:
            UserError: If a stage draws from no stream that the dataset has.
        """
        for stage in schedule.stages:
            if not any(self._draws(stage, name) for name in self.counts):
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

    def _draws(self, stage: Stage, stream: str) -> bool:
        """Whether batches of a stage hold images of a stream."""
        wanted = stage.draws(stream) and draws(self.streams, stream)
        return wanted and self.counts[stream] > 0

    def set_epoch(self, epoch: int) -> None:
        """Sets the epoch, counted from 0, that the next iteration draws."""
        self.epoch = epoch

    def batches(self) -> Iterator[List[SampleKey]]:
        """Draws this rank's batches of the current epoch.

        Yields:
            list[SampleKey]: A batch: labelled samples, then unlabelled, then
            synthetic ones, without the streams that the epoch's stage does
            not use.
        """
        stage = self.schedule(self.epoch)
        drawn = [
            self._draw(stage.name, stream)
            for stream, count in self.counts.items()
            if self._draws(stage, stream)
        ]
        for number in range(self.epoch_length):
            yield [
                SampleKey(*key)
                for stream in drawn
                for key in stream[number].tolist()
            ]

    def __iter__(self) -> Iterator[SampleKey]:
        for batch in self.batches():
            yield from batch

    def __len__(self) -> int:
        """Number of this rank's samples in the current epoch."""
        stage = self.schedule(self.epoch)
        return self.epoch_length * sum(
            count
            for name, count in self.counts.items()
            if self._draws(stage, name)
        )

    def _resolve_length(self, wanted: Union[int, str]) -> int:
        """Returns the number of batches of an epoch."""
        if _is_positive(wanted):
            return int(wanted)
        if wanted not in POLICIES:
            raise UserError(
                'epoch_length: expected a number of batches >= 1 or one of '
                f'{", ".join(POLICIES)}, got {wanted!r}.'
            )
        lengths = {}
        for stream in (LABELLED, UNLABELLED):
            drawn = self.counts[stream] * self.world_size
            if drawn and wanted in (stream, LONGER):
                whole, rest = divmod(self.sizes[stream], drawn)
                lengths[stream] = whole + bool(rest and not self.drop_last)
        if not lengths:
            raise UserError(
                f'epoch_length={wanted!r}: expected a stream that the dataset '
                'has, but it has no such one.'
            )
        length = max(lengths.values())
        if length == 0:
            raise UserError(
                'drop_last=True: expected as many images as one batch of all '
                f'ranks takes, got {self.sizes} for batches of {self.counts} '
                f'on {self.world_size} ranks.'
            )
        if self.drop_last:
            self._one_pass = [
                stream for stream, own in lengths.items() if own == length
            ]
        return length

    def _draw(self, stage: str, stream: str) -> np.ndarray:
        """Draws indices and views of a stream, (epoch_length, count, 2)."""
        size, count = self.sizes[stream], self.counts[stream]
        shape = (self.epoch_length, self.world_size, count)
        total = int(np.prod(shape))
        step = size if stream in self._one_pass else total
        start = self.schedule.occurrence(self.epoch) * step
        passes = np.arange(start, start + total) // size
        walk = [
            self._order(stage, stream, number)
            for number in range(start // size, int(passes[-1]) + 1)
        ]
        indices = np.concatenate(walk)[start % size :][:total]
        # The dataset holds the streams one after the other, in this order.
        for earlier in STREAMS[: STREAMS.index(stream)]:
            indices = indices + self.sizes[earlier]
        if self.num_views is not None:
            views = passes % self.num_views
        else:
            # Stages walk on their own: no two may show the same view.
            views = passes * len(self._stage_names) + self._stage_names.index(
                stage
            )
        return np.stack([indices, views], 1).reshape(*shape, 2)[:, self.rank]

    def _order(self, stage: str, stream: str, number: int) -> np.ndarray:
        if not self.shuffle:
            return np.arange(self.sizes[stream])
        seed = derive_seed(self.seed, stage, stream, number)
        rng = np.random.RandomState(seed % 2**32)
        return rng.permutation(self.sizes[stream])

    def _check_counts(self) -> None:
        for stream, count in self.counts.items():
            size = self.sizes[stream]
            if count == 0 and size == 0:
                continue
            if not _is_positive(count):
                raise UserError(
                    f'batch size: expected a whole number >= 1, because the '
                    f'dataset has {size} {stream} images, got '
                    f'{stream}={count!r} of the sampler.'
                )
            if size == 0:
                raise UserError(
                    f'batch size: expected {stream}=0 of the sampler, because '
                    f'the dataset has no such images, got {count}.'
                )


def _is_positive(value: Any) -> bool:
    return (
        isinstance(value, (int, np.integer))
        and not isinstance(value, bool)
        and value >= 1
    )
