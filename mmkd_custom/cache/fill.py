"""Filling the cache of a config's teacher ahead of training."""

from __future__ import annotations

import time
from datetime import timedelta
from typing import Any, Dict

import numpy as np
from mmengine.config import Config
from mmengine.dist import all_gather_object, barrier, get_world_size
from mmengine.runner import Runner

from ..engine.launch import build_runner
from ..engine.teacher_pass import ask_about
from ..engine.unwrap import unwrapped
from ..errors import UserError, naming_files
from ..models.distillers import BaseDistiller
from .opening import by_rank_0, open_cache
from .store import FeatureStore
from .store_files import entry_bytes, free_bytes
from .verify import verify_cache

#: Seconds between lines of the log that say how far it is.
LOG_EVERY = 60.0


def fill_cache(
    config: Config, batch_size: int = 64, verify: int = 0
) -> Dict[str, Any]:
    """Asks the teacher about every view that its cache does not hold.

    Every rank takes its part. What is there stays; killed at any moment, the
    next call goes on where it ended.

    Args:
        config (Config): From :func:`~mmkd_custom.engine.config.prepare`, with
            a ``CachedTeacher`` in its model.
        batch_size (int): Images the teacher sees at once. Defaults to 64.
        verify (int): Entries, drawn at random, that are computed anew
            afterwards and compared; 0 compares none. Defaults to 0.

    Returns:
        dict[str, Any]: ``folder``; ``entries`` that the cache holds, of them
        ``computed`` by this call; ``bytes`` of all and ``entry_bytes`` of
        one; ``seconds``; with ``verify`` the ``verified`` entries, their
        ``largest_error`` and ``damaged`` ones, see
        :func:`~mmkd_custom.cache.verify.verify_cache`.

    Raises:
        UserError: If the config has no such teacher, an option is out of
            range, the cache is refused, the disk too small, or an entry is
            not what the teacher says.
    """
    for option, value, least in (
        ('--batch-size', batch_size, 1),
        ('--verify', verify, 0),
    ):
        if value < least:
            raise UserError(
                f'{option} {value}: a whole number >= {least} is wanted.'
            )
    with naming_files():
        runner = build_runner(config, 'train')
        store = open_cache(runner)
        if store is None:
            raise UserError(
                'model.teacher: a CachedTeacher is wanted, as in '
                "teacher=dict(type='CachedTeacher', teacher=dict(...)), but "
                'the config has none.'
            )
        model = unwrapped(runner)
        start = time.perf_counter()
        # The ranks must see the same entries missing.
        missing = by_rank_0(store.missing)
        if len(missing):
            _estimate(runner, model, store, missing, batch_size)
            _fill(runner, model, missing, batch_size)
        store.flush()
        barrier()
        report = dict(
            folder=str(store.folder),
            entries=store.samples * store.views - store.count_missing(),
            computed=len(missing),
            bytes=store.nbytes,
            entry_bytes=entry_bytes(store.shapes, store.dtype),
            seconds=time.perf_counter() - start,
        )
        if verify:
            report.update(verify_cache(runner, verify, batch_size))
    return report


def _estimate(
    runner: Runner,
    model: BaseDistiller,
    store: FeatureStore,
    missing: np.ndarray,
    batch_size: int,
) -> None:
    """Says what it will take, by timing one batch."""
    keys = [tuple(key) for key in missing[: min(batch_size, 16)].tolist()]
    teacher, seconds = model.teacher, []
    for _ in range(2):
        # The first time warms up.
        start = time.perf_counter()
        images = teacher.fetch(keys)
        made = time.perf_counter()
        output = teacher.teacher(images, tuple(store.shapes))
        for values in output.named_tensors().values():
            values.cpu()
        seconds = [made - start, time.perf_counter() - made]
    workers = runner.train_dataloader.num_workers
    making, asking = seconds
    making /= max(workers, 1)
    # Workers make images while a device looks at earlier ones; on the CPU
    # both want the same cores.
    beside = workers > 0 and images.device.type != 'cpu'
    each = max(making, asking) if beside else making + asking
    ranks = all_gather_object(each)
    left = max(ranks) / len(keys) * len(missing) / get_world_size()
    runner.logger.info(
        f'Teacher cache {store.folder}: {len(missing)} of '
        f'{store.samples * store.views} entries to compute; '
        f'{entry_bytes(store.shapes, store.dtype)} bytes each, '
        f'{store.nbytes / 1e9:.3f} GB on disk for all, '
        f'{free_bytes(store.folder) / 1e9:.1f} GB left free; about '
        f'{timedelta(seconds=round(left))} on {get_world_size()} rank(s).'
    )


def _fill(
    runner: Runner,
    model: BaseDistiller,
    missing: np.ndarray,
    batch_size: int,
) -> None:
    start = told = time.perf_counter()
    done = 0
    for samples, _ in ask_about(runner, model, missing, batch_size):
        done += len(samples) * get_world_size()
        now = time.perf_counter()
        if now - told >= LOG_EVERY:
            told = now
            done = min(done, len(missing))
            left = (now - start) / done * (len(missing) - done)
            runner.logger.info(
                f'Teacher cache: {done}/{len(missing)} entries, about '
                f'{timedelta(seconds=round(left))} left'
            )
