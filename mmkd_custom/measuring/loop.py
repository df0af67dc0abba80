"""A training loop that trains a short epoch whenever it is asked to."""

from __future__ import annotations

import hashlib
import time
from typing import Any, Dict, List, Optional

import torch
from mmengine.runner import EpochBasedTrainLoop
from mmpretrain.structures import DataSample
from torch.utils.data import Subset

from ..engine.unwrap import unwrapped
from ..registry import LOOPS
from ..stages import DISTILLATION, StageSchedule
from .loader import plain_loader, two_stream_sampler


@LOOPS.register_module()
class WindowLoop(EpochBasedTrainLoop):
    """Trains one short epoch whenever it is asked to, and times it.

    All else that MMEngine does before the first epoch is done. An epoch is
    over when its loader is, so no batch is left over for the next window.

    Args:
        runner (Runner): The runner.
        dataloader (dict | DataLoader): A two-stream loader.
        batches (int): Batches of an epoch.
        plain (bool): Whether to train on an MMPretrain loader over the images
            of the first distillation epoch instead. Defaults to False.
        **kwargs: As for ``EpochBasedTrainLoop``.

    Attributes:
        drive (Callable): Is called with this loop when all is prepared.

    Raises:
        UserError: If the loader is no two-stream loader.
    """

    def __init__(
        self,
        runner: Any,
        dataloader: Any,
        batches: int,
        plain: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(runner, dataloader, **kwargs)
        sampler = two_stream_sampler(self.dataloader)
        sampler.epoch_length = batches
        self._max_iters = self._max_epochs * batches
        self.batch_size = self.dataloader.batch_sampler.batch_size
        self.dataset = self.dataloader.dataset
        self._images: Optional[List[int]] = None
        if plain:
            # Before it is told a schedule, a sampler distils in every epoch:
            # its first is any distiller's first of that stage.
            self._images = _images(sampler)
            self.dataloader = plain_loader(
                self.dataloader, dataloader, LabelledImages
            )

    def run(self) -> torch.nn.Module:
        """Prepares for training, then hands over to ``drive``."""
        self.runner.call_hook('before_train')
        self.drive(self)
        return self.runner.model

    def first_epochs(self) -> Dict[str, int]:
        """Gives the first epoch of each stage, counted from 0."""
        model = unwrapped(self.runner)
        schedule = getattr(model, 'schedule', None)
        if not isinstance(schedule, StageSchedule):
            return {DISTILLATION: 0}
        found: Dict[str, int] = {}
        for epoch in range(schedule.period):
            found.setdefault(schedule(epoch).name, epoch)
        return found

    def images_sha256(self) -> str:
        """Digests which images a distillation window trains on."""
        images = self._images
        if images is None:
            sampler = two_stream_sampler(self.dataloader)
            sampler.set_epoch(self.first_epochs()[DISTILLATION])
            images = _images(sampler)
        return hashlib.sha256(repr(sorted(images)).encode()).hexdigest()

    def window(self, stage: str) -> Dict[str, float]:
        """Trains one epoch.

        Args:
            stage (str): The first epoch of this stage, always the same one:
                the same images in the same views.

        Returns:
            dict[str, float]: ``seconds``, and ``images`` trained on.
        """
        self._epoch = self.first_epochs()[stage]
        _wait()
        start = time.perf_counter()
        self.run_epoch()
        _wait()
        seconds = time.perf_counter() - start
        # Of this epoch: streams that its stage leaves out do not count.
        sampler = getattr(
            self.dataloader.batch_sampler, 'sampler', self.dataloader.sampler
        )
        return dict(seconds=seconds, images=len(sampler))


class LabelledImages(Subset):
    """Images whose label is class 0 where their dataset gives none."""

    def __getitem__(self, index: int) -> dict:
        return _labelled(super().__getitem__(index))

    def __getitems__(self, indices: List[int]) -> List[dict]:
        return [self[index] for index in indices]


def _images(sampler: Any) -> List[int]:
    return [key[0] for key in sampler]


def _labelled(item: dict) -> dict:
    sample: DataSample = item['data_samples']
    if 'gt_label' not in sample and 'gt_score' not in sample:
        sample.set_gt_label(0)
    return item


def _wait() -> None:
    """Waits for what was launched on an accelerator."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
