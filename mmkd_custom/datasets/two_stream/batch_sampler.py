"""The batches of a sampler, and which images of them to make."""

from __future__ import annotations

from typing import Callable, Iterator, List, Optional

from ...errors import UserError
from ...registry import DATA_SAMPLERS
from ...stages import draws
from .keys import SampleKey
from .sampler import TwoStreamSampler

#: Takes the keys of a batch and names the images to make of them.
Mark = Callable[[List[SampleKey]], List[SampleKey]]


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
        mark (Callable, optional): Names the images to make of a batch: where
            a cache knows what a teacher says, it need not see the samples.

    Raises:
        UserError: If batch size or ``drop_last`` is not the sampler's.
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
            raise UserError(
                f'batch_size: expected {wanted}, the sampler drawing '
                f'{" and ".join(sampler.streams)} of {sampler.counts}, got '
                f'{batch_size!r}.'
            )
        if drop_last is not None and drop_last != sampler.drop_last:
            raise UserError(
                f'batch_sampler: expected drop_last={sampler.drop_last}, as '
                f'the sampler has it, got {drop_last}; set it there.'
            )
        self.sampler = sampler
        self.batch_size = batch_size
        self.drop_last = sampler.drop_last
        self.mark: Optional[Mark] = None

    def __iter__(self) -> Iterator[List[SampleKey]]:
        batches = self.sampler.batches()
        return batches if self.mark is None else map(self.mark, batches)

    def __len__(self) -> int:
        return self.sampler.epoch_length
