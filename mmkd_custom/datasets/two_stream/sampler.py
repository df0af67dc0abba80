"""Batches of all streams as a function of the epoch."""

from __future__ import annotations

from typing import (
    Any,
    Callable,
    Iterator,
    List,
    Optional,
    Sequence,
    Tuple,
    Union,
)

import numpy as np
from mmengine.dist import get_dist_info, sync_random_seed
from torch.utils.data import Sampler

from ...errors import UserError, nearest
from ...registry import DATA_SAMPLERS
from ...stages import (
    DISTILLATION,
    LABELLED,
    STREAMS,
    SYNTHETIC,
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
    draw c a batch, the first k epochs of a stage, b batches each, show every
    sample k b c / n times, rounded down or up. An epoch of the length of a
    stream has ceil(n / c) batches: its last one is filled up from the next
    pass, with which the next epoch goes on, so a later epoch may show a
    sample twice and another one not at all. With ``drop_last`` it has
    floor(n / c) batches and is a pass of its own: it shows no sample of that
    stream twice, and n mod c of them, others in every epoch, not at all. The
    other streams are repeated, or go on in the next epoch, by their walk:
    neither restarts a worker.

    Args:
        dataset (TwoStreamDataset): The dataset.
        labelled (int): Labelled images in a batch of one rank.
        unlabelled (int): Unlabelled images in a batch of one rank. 0 if the
            dataset has none. Defaults to 0.
        epoch_length (int | str): Batches an epoch. 'labelled' or
            'unlabelled': as many as go once through that stream. 'longer':
            the larger number of these two; synthetic images do not count, so
            a run with them has epochs as long as one without [ours].
            Defaults to 'longer'.
        num_views (int, optional): Cycle through this many views of every
            sample, one a pass. Defaults to None: a new view every time.
        streams (Sequence[str]): Streams that are drawn from until a schedule
            is set; 'unlabelled' brings synthetic images along. A baseline
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
            LABELLED: dataset.num_labelled,
            UNLABELLED: dataset.num_unlabelled,
            SYNTHETIC: getattr(dataset, 'num_synthetic', 0),
        }
        self.counts = {
            LABELLED: labelled,
            UNLABELLED: unlabelled,
            SYNTHETIC: synthetic,
        }
        self._check_counts()
        if num_views is not None and not _is_positive(num_views):
            raise UserError(
                'num_views: a whole number >= 1 or None is '
                f'wanted, but got {num_views!r}.'
            )
        for name in streams:
            if name not in STREAMS:
                raise UserError(
                    f'streams: there is no stream {name!r} '
                    f'({nearest(str(name), STREAMS)}).'
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

        Args:
            schedule (StageSchedule): Of the distiller.

        Raises:
            UserError: If a stage draws from no stream that the dataset has.
        """
        for stage in schedule.stages:
            if not any(
                count and stage.draws(name)
                for name, count in self.counts.items()
            ):
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
            list[SampleKey]: A batch: labelled samples, then unlabelled, then
            synthetic ones, without the streams that the epoch's stage does
            not use.
        """
        stage = self.schedule(self.epoch)
        drawn = [
            self._draw(stage.name, stream)
            for stream, count in self.counts.items()
            if count and stage.draws(stream)
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
        stage = self.schedule(self.epoch)
        return self.epoch_length * sum(
            count for name, count in self.counts.items() if stage.draws(name)
        )

    def _resolve_length(self, wanted: Union[int, str]) -> int:
        """Gives the number of batches of an epoch."""
        if _is_positive(wanted):
            return int(wanted)
        if wanted not in POLICIES:
            raise UserError(
                f'epoch_length: a number of batches >= 1 or one of {POLICIES} '
                f'is wanted, but got {wanted!r}.'
            )
        lengths = {}
        for stream in (LABELLED, UNLABELLED):
            drawn = self.counts[stream] * self.world_size
            if drawn and wanted in (stream, LONGER):
                whole, rest = divmod(self.sizes[stream], drawn)
                lengths[stream] = whole + bool(rest and not self.drop_last)
        if not lengths:
            raise UserError(
                f'epoch_length={wanted!r}: the dataset has no such stream.'
            )
        length = max(lengths.values())
        if length == 0:
            raise UserError(
                f'drop_last=True: an epoch of length {wanted!r} would have '
                'no batch, because one batch of all ranks takes more images '
                f'than there are (batch {self.counts}, ranks '
                f'{self.world_size}, images {self.sizes}).'
            )
        if self.drop_last:
            self._one_pass = [
                stream for stream, own in lengths.items() if own == length
            ]
        return length

    def _draw(self, stage: str, stream: str) -> Tuple[np.ndarray, np.ndarray]:
        """Gives indices and views, both (epoch_length, count)."""
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
            if count == 0 and size == 0 and stream != LABELLED:
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
        batch_size (int): What the sampler draws for one, all its streams
            together.
        drop_last (bool, optional): As the sampler has it, which decides the
            length of an epoch. Defaults to None, which asks for nothing.

    Attributes:
        mark (Callable, optional): Takes the keys of a batch and gives those
            that the dataset is asked for: ``TeacherCacheHook`` has it name
            samples that the teacher need not see. Defaults to None.

    Raises:
        UserError: If either is another one.
    """

    def __init__(
        self,
        sampler: TwoStreamSampler,
        batch_size: int,
        drop_last: Optional[bool] = None,
    ) -> None:
        wanted = sum(
            count
            for stream, count in sampler.counts.items()
            if draws(sampler.streams, stream)
        )
        if batch_size != wanted:
            counts = ', '.join(
                f'{stream}={count}' for stream, count in sampler.counts.items()
            )
            raise UserError(
                f'batch_size: {wanted} is wanted, the sampler drawing '
                f'{" and ".join(sampler.streams)} with {counts}, but got '
                f'{batch_size!r}.'
            )
        if drop_last is not None and drop_last != sampler.drop_last:
            raise UserError(
                f'drop_last={drop_last} of the batch_sampler: the sampler has '
                f'drop_last={sampler.drop_last}, which counts; set it there.'
            )
        self.sampler = sampler
        self.batch_size = batch_size
        self.drop_last = sampler.drop_last
        self.mark: Optional[Callable[[List[SampleKey]], List[tuple]]] = None

    def __iter__(self) -> Iterator[List[tuple]]:
        batches = self.sampler.batches()
        return batches if self.mark is None else map(self.mark, batches)

    def __len__(self) -> int:
        return self.sampler.epoch_length


def _is_positive(value: Any) -> bool:
    return (
        isinstance(value, (int, np.integer))
        and not isinstance(value, bool)
        and value >= 1
    )
