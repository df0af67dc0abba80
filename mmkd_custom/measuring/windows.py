"""A run of which one short epoch is trained and timed whenever it is asked.

It lives in a process of its own: :func:`start` prepares it, :func:`window`
trains, :func:`totals` says what the process took.
"""

from __future__ import annotations

import contextlib
import sys
import time
from typing import Any, Dict, Iterable, Optional

import torch
from mmengine.config import Config, ConfigDict
from mmengine.device import get_device
from mmengine.runner import EpochBasedTrainLoop, Runner
from torch.utils.data import DataLoader, Dataset

from ..datasets.two_stream.batch_sampler import TwoStreamBatchSampler
from ..datasets.two_stream.dataset import TwoStreamDataset
from ..engine.config_data import config_scope
from ..engine.launch import train
from ..engine.unwrap import unwrapped
from ..errors import UserError
from ..registry import LOOPS
from ..stages import DISTILLATION, StageSchedule
from .processes import peak_memory

#: The run of this process.
_loop: Optional[WindowLoop] = None


@LOOPS.register_module()
class WindowLoop(EpochBasedTrainLoop):
    """Trains a short epoch whenever it is asked to, all else being ready.

    An epoch is over when its loader is, so no batch is left over for the
    next one.

    Args:
        runner (Runner): The runner.
        dataloader (dict | DataLoader): A two-stream loader.
        batches (int): Batches of an epoch.
        plain (bool): Whether to train on an MMPretrain loader over the images
            of the first distillation epoch instead. Defaults to False.
        **kwargs: As for ``EpochBasedTrainLoop``.

    Raises:
        UserError: If the loader is no two-stream loader.
    """

    def __init__(
        self,
        runner: Runner,
        dataloader: Any,
        batches: int,
        plain: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(runner, dataloader, **kwargs)
        loader = self.dataloader
        for part, kind in (
            (loader.dataset, TwoStreamDataset),
            (loader.batch_sampler, TwoStreamBatchSampler),
        ):
            if not isinstance(part, kind):
                raise UserError(
                    f'train_dataloader: expected a {kind.__name__}, got a '
                    f'{type(part).__name__}.'
                )
        loader.batch_sampler.sampler.epoch_length = batches
        self._max_iters = self._max_epochs * batches
        self.dataset = loader.dataset
        self.batch_size = loader.batch_sampler.batch_size
        self.teacher_batches = 0
        if plain:
            self.dataloader = _plain_loader(loader, dataloader)

    def run(self) -> torch.nn.Module:
        """Prepares for training and leaves the rest to :meth:`window`."""
        global _loop
        self.runner.call_hook('before_train')
        model = unwrapped(self.runner)
        schedule = getattr(model, 'schedule', None)
        self.epochs = {DISTILLATION: 0}
        if isinstance(schedule, StageSchedule):
            self.epochs = {
                schedule(epoch).name: epoch
                for epoch in reversed(range(schedule.period))
            }
        for teacher in getattr(model, 'teachers', {}).values():
            inner = getattr(teacher, 'teacher', teacher)
            inner.register_forward_pre_hook(self._count)
        _loop = self
        return self.runner.model

    def _count(self, *_: Any) -> None:
        self.teacher_batches += 1

    def window(self, stage: str) -> Dict[str, float]:
        """Trains the first epoch of a stage, always the same one.

        Args:
            stage (str): Name of the stage.

        Returns:
            dict[str, float]: ``seconds``; ``data_seconds``, those that
            training waited for images; and ``images`` trained on.
        """
        self._epoch = self.epochs[stage]
        _wait()
        start = time.perf_counter()
        self.run_epoch()
        _wait()
        seconds = time.perf_counter() - start
        batches = len(self.dataloader)
        # As IterTimerHook has noted them.
        waited, _ = self.runner.message_hub.get_scalar('train/data_time').data
        sampler = self.dataloader.batch_sampler.sampler
        return dict(
            seconds=seconds,
            data_seconds=float(sum(waited[-batches:])),
            # Of this epoch: streams that its stage leaves out do not count.
            images=len(sampler),
        )


class _PlainImages(Dataset):
    """Images of the streams' own datasets, class 0 where there is no label."""

    def __init__(self, dataset: TwoStreamDataset, keys: Iterable) -> None:
        self.dataset = dataset
        self.places = [dataset.locate(key[0]) for key in keys]

    def __len__(self) -> int:
        return len(self.places)

    def __getitem__(self, index: int) -> dict:
        stream, position = self.places[index]
        item = getattr(self.dataset, stream)[position]
        sample = item['data_samples']
        if 'gt_label' not in sample and 'gt_score' not in sample:
            sample.set_gt_label(0)
        return item


def _plain_loader(loader: DataLoader, options: dict) -> DataLoader:
    """Builds an MMPretrain loader over the images of a two-stream epoch."""
    batches = loader.batch_sampler
    options = ConfigDict(
        options,
        dataset=_PlainImages(loader.dataset, batches.sampler),
        sampler=dict(type='DefaultSampler', shuffle=True),
        batch_size=batches.batch_size,
    )
    options.pop('batch_sampler', None)
    return Runner.build_dataloader(options, seed=0)


def start(config: Config) -> Dict[str, Any]:
    """Prepares this process's run, whose config has a :class:`WindowLoop`.

    Returns:
        dict[str, Any]: What is measured: ``stages`` of the method,
        ``dataset_images``, ``batch_size``, ``image_size``,
        ``teacher_input_size``, ``device`` and ``threads``.
    """
    # Whatever a library prints is none of the tool's results.
    with contextlib.redirect_stdout(sys.stderr), config_scope(config):
        train(config)
    image = list(_loop.dataset[0]['inputs'].shape[-2:])
    teacher = getattr(unwrapped(_loop.runner), 'teacher', None)
    seen = getattr(teacher, 'input_size', None)
    device = get_device()
    if torch.cuda.is_available():
        device = f'cuda ({torch.cuda.get_device_name()})'
    return dict(
        stages=list(_loop.epochs),
        dataset_images=len(_loop.dataset),
        batch_size=_loop.batch_size,
        image_size=image,
        teacher_input_size=list(seen or image),
        device=device,
        threads=torch.get_num_threads(),
    )


def window(stage: str) -> Dict[str, float]:
    """Trains an epoch of this process's run; see :meth:`WindowLoop.window`."""
    return _loop.window(stage)


def totals() -> Dict[str, Any]:
    """Returns the memory of this process and its ``teacher_batches``."""
    return dict(peak_memory(), teacher_batches=_loop.teacher_batches)


def forget() -> None:
    """Lets go of this process's run."""
    global _loop
    _loop = None


def _wait() -> None:
    """Waits for what was launched on an accelerator."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
