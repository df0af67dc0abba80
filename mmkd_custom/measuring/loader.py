"""How fast a config's two-stream loader is against a plain one."""

from __future__ import annotations

import statistics
import time
from typing import Any, Dict, List, Type

from mmengine.config import Config, ConfigDict
from mmengine.registry import DefaultScope
from mmengine.runner import Runner
from torch.utils.data import ConcatDataset, DataLoader, Subset

from ..datasets.two_stream.batch_sampler import TwoStreamBatchSampler
from ..datasets.two_stream.dataset import TwoStreamDataset
from ..datasets.two_stream.sampler import TwoStreamSampler
from ..engine.building import naming_misspelt
from ..errors import UserError
from ..stages import STREAMS
from ..utils.progress import progress_bar

#: Most batches of one window: enough to time, on any data.
MAX_BATCHES = 32


def loader_throughput(
    config: Config, workers: int = 2, repeats: int = 5
) -> Dict[str, Any]:
    """Measures images a second of two loaders over the same images.

    One is the config's own training loader, the other a plain MMPretrain
    one: the streams' own datasets with their pipelines, a ``DefaultSampler``
    and the same batch size, collation, workers and memory pinning. A window
    is one whole epoch of either loader, of at most :data:`MAX_BATCHES`
    batches, over exactly the same image files. Windows take turns, and so
    does who begins; one of each warms up and is not counted.

    Further views (``pipelines`` of the dataset) are left out: a plain loader
    has none.

    Args:
        config (Config): From :func:`~mmkd_custom.engine.config.prepare`.
        workers (int): Worker processes of each loader. Defaults to 2.
        repeats (int): Windows of each loader. Defaults to 5.

    Returns:
        dict[str, Any]: ``two_stream`` and ``plain``: images a second of each
        window, in order; ``two_stream_median`` and ``plain_median``;
        ``ratio``: the median over the pairs of windows of two-stream to
        plain, with ``ratio_min`` and ``ratio_max``; ``images`` and
        ``batch_size`` of a window, ``workers``, ``repeats``, and ``left_out``:
        the views that were.

    Raises:
        UserError: If a number is out of range or the config's training loader
            is no two-stream loader.
    """
    check_number('--workers', workers, 0)
    check_number('--repeats', repeats, 1)
    options = loader_options(config, workers)
    scope = DefaultScope.overwrite_default_scope(
        config.get('default_scope', 'mmkd_custom')
    )
    with scope, naming_misspelt(config):
        two_stream = Runner.build_dataloader(options, seed=0)
        left_out = _prepare(two_stream)
        plain = plain_loader(two_stream, options)
    loaders = dict(two_stream=two_stream, plain=plain)
    rates: Dict[str, List[float]] = {name: [] for name in loaders}
    with progress_bar() as bar:
        for number in bar.track(range(repeats + 1), description='windows'):
            order = list(loaders) if number % 2 else list(loaders)[::-1]
            for name in order:
                rates[name].append(_window(loaders[name]))
    rates = {name: values[1:] for name, values in rates.items()}
    ratios = [a / b for a, b in zip(rates['two_stream'], rates['plain'])]
    return dict(
        **rates,
        **{
            f'{name}_median': statistics.median(values)
            for name, values in rates.items()
        },
        ratio=statistics.median(ratios),
        ratio_min=min(ratios),
        ratio_max=max(ratios),
        images=len(plain.dataset),
        batch_size=plain.batch_size,
        workers=workers,
        repeats=repeats,
        left_out=left_out,
    )


def loader_options(config: Config, workers: int) -> ConfigDict:
    """Gives the options of the training loader with other workers.

    Args:
        config (Config): From :func:`~mmkd_custom.engine.config.prepare`.
        workers (int): Worker processes, which stay from epoch to epoch.

    Returns:
        ConfigDict: A copy.

    Raises:
        UserError: If the config has none.
    """
    if not config.get('train_dataloader'):
        raise UserError(
            'config: has no train_dataloader, but one with a '
            'TwoStreamDataset is wanted.'
        )
    options = ConfigDict(config.train_dataloader)
    options.update(num_workers=workers, persistent_workers=workers > 0)
    if workers == 0:
        options.pop('prefetch_factor', None)
    return options


def two_stream_sampler(loader: DataLoader) -> TwoStreamSampler:
    """Gives what draws the batches of a two-stream loader.

    Args:
        loader (DataLoader): Any loader.

    Returns:
        TwoStreamSampler: Its sampler.

    Raises:
        UserError: If it is no two-stream loader.
    """
    dataset, batch_sampler = loader.dataset, loader.batch_sampler
    if not isinstance(dataset, TwoStreamDataset) or not isinstance(
        batch_sampler, TwoStreamBatchSampler
    ):
        raise UserError(
            f'train_dataloader: a {type(dataset).__name__} in batches of a '
            f'{type(batch_sampler).__name__}, but a TwoStreamDataset and a '
            'TwoStreamBatchSampler are wanted.'
        )
    return batch_sampler.sampler


def _prepare(loader: DataLoader) -> List[str]:
    """Leaves out what a plain loader has not; gives its names."""
    sampler, dataset = two_stream_sampler(loader), loader.dataset
    left_out, dataset.pipelines = list(dataset.pipelines), {}
    sampler.epoch_length = min(sampler.epoch_length, MAX_BATCHES)
    return left_out


def plain_loader(
    two_stream: DataLoader,
    options: ConfigDict,
    images: Type[Subset] = Subset,
) -> DataLoader:
    """Builds an MMPretrain loader over the images of a two-stream epoch.

    Args:
        two_stream (DataLoader): The images are those of the epoch and stage
            at which its sampler stands.
        options (ConfigDict): Its options, of which batch size, collation,
            workers and memory pinning are taken over.
        images (type): Builds the dataset from the streams' own datasets, one
            after the other, and the indices. Defaults to ``Subset``.

    Returns:
        DataLoader: With a ``DefaultSampler`` that shuffles.
    """
    dataset = two_stream.dataset
    streams, offsets, total = [], {}, 0
    for name in STREAMS:
        stream = getattr(dataset, name)
        if stream is not None:
            streams.append(stream)
            offsets[name] = total
            total += len(stream)
    indices = []
    for index, *_ in two_stream.batch_sampler.sampler:
        name, position = dataset.locate(index)
        indices.append(offsets[name] + position)
    options = ConfigDict(
        {
            name: value
            for name, value in options.items()
            if name not in ('dataset', 'sampler', 'batch_sampler')
        }
    )
    options.update(
        dataset=images(ConcatDataset(streams), indices),
        sampler=dict(type='DefaultSampler', shuffle=True),
        batch_size=two_stream.batch_sampler.batch_size,
    )
    return Runner.build_dataloader(options, seed=0)


def _window(loader: DataLoader) -> float:
    """Gives the images a second of one epoch."""
    start = time.perf_counter()
    images = sum(len(batch['inputs']) for batch in loader)
    return images / (time.perf_counter() - start)


def check_number(option: str, number: int, least: int) -> None:
    """Refuses a number that is too small.

    Args:
        option (str): Its name, for the error.
        number (int): What was given.
        least (int): The smallest that makes sense.

    Raises:
        UserError: If it is smaller.
    """
    if number < least:
        raise UserError(
            f'{option} {number}: a whole number >= {least} is wanted.'
        )
