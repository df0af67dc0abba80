"""Filling the caches of a config's teachers ahead, and verifying them."""

from __future__ import annotations

import math
import time
from typing import Any, Dict, List, Tuple

import numpy as np
import torch
from mmengine.config import Config
from mmengine.dist import all_gather_object, barrier
from mmengine.runner import Runner

from ..engine.launch import build_runner
from ..engine.teacher_pass import batches_of
from ..engine.together import by_rank_0
from ..engine.unwrap import unwrapped
from ..errors import UserError, naming_files
from ..models.batch import Batch
from ..models.teachers.base import FrozenTeacher
from .files import entry_bytes
from .opening import open_caches
from .store import FeatureStore
from .teacher import CachedTeacher

#: Largest error, relative to the largest value of an entry, that the same
#: images in another batch may bring, by the teacher's dtype.
COMPUTING = {
    torch.float32: 1e-5,
    torch.float16: 5e-3,
    torch.bfloat16: 4e-2,
}
#: The same on an accelerator, whose float32 convolutions may round to
#: TensorFloat-32.
ACCELERATED = 2e-3

#: What rounding to the cache's dtype brings, likewise.
ROUNDING = {'float32': 0.0, 'float16': 2.0**-11}


def fill_cache(
    config: Config, batch_size: int = 64, verify: int = 0
) -> List[Dict[str, Any]]:
    """Asks the teachers about every view that their caches do not hold.

    Every rank takes its part. What is there stays; killed at any moment, the
    next call goes on where it ended.

    Args:
        config (Config): From :func:`~mmkd_custom.engine.config.prepare`, with
            a ``CachedTeacher`` in its model.
        batch_size (int): Images a teacher sees at once. Defaults to 64.
        verify (int): Entries, drawn at random, that are computed anew
            afterwards and compared; 0 compares none. Defaults to 0.

    Returns:
        list[dict[str, Any]]: Of each ``CachedTeacher`` the ``folder``;
        ``entries`` that the cache holds, of them ``computed`` by this call;
        ``bytes`` of all and ``entry_bytes`` of one; ``seconds``; with
        ``verify`` what :func:`verify_cache` returns.

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
                f'{option}: expected a whole number >= {least}, got {value}.'
            )
    with naming_files():
        runner = build_runner(config, 'train')
        teachers = open_caches(runner)
        if not teachers:
            raise UserError(
                'model.teacher: expected a CachedTeacher, as in '
                "teacher=dict(type='CachedTeacher', teacher=dict(...)), got "
                'a config without any.'
            )
        return [
            _fill(runner, teacher, batch_size, verify)
            for teacher in teachers.values()
        ]


def _fill(
    runner: Runner, teacher: CachedTeacher, batch_size: int, verify: int
) -> Dict[str, Any]:
    store, model = teacher.store, unwrapped(runner)
    # The ranks must see the same entries missing.
    missing = by_rank_0(store.missing)
    runner.logger.info(
        f'Teacher cache {store.folder}: {len(missing)} of '
        f'{store.samples * store.views} entries to compute.'
    )
    start = time.perf_counter()
    for batch in batches_of(
        runner, model, missing, batch_size, doing='filling the cache'
    ):
        teacher.ask(batch, store.outputs)
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
        report.update(verify_cache(runner, teacher, verify, batch_size))
    return report


def verify_cache(
    runner: Runner, teacher: CachedTeacher, count: int, batch_size: int
) -> Dict[str, Any]:
    """Computes some entries anew, drawn at random, and compares.

    Args:
        runner (Runner): Whose caches are open.
        teacher (CachedTeacher): One of its teachers.
        count (int): How many; all that are there if these are fewer.
        batch_size (int): Images the teacher sees at once.

    Returns:
        dict[str, Any]: ``verified``: how many were compared;
        ``largest_error``: the largest difference found in one, relative to
        its largest value; ``tolerance``; ``damaged``: how many of those drawn
        do not have their checksum, and are computed anew when wanted.

    Raises:
        UserError: If an entry differs by more than the tolerance; names the
            worst.
    """
    model, store = unwrapped(runner), teacher.store
    keys = all_gather_object(_draw(store, count))[0]
    tolerance = _tolerance(teacher.teacher, store)
    worst: Tuple[float, str] = (0.0, '')
    damaged = 0
    for batch in batches_of(
        runner, model, keys, batch_size, doing='verifying the cache'
    ):
        live = teacher.teacher.ask(batch, store.outputs).named_tensors()
        error, where, lost = _largest_error(store, batch, live)
        worst = max(worst, (error, where))
        damaged += lost
    ranks = all_gather_object((worst, damaged))
    error, where = max(worst for worst, _ in ranks)
    damaged = sum(lost for _, lost in ranks)
    if error > tolerance:
        sample, view, name = where.split()
        dataset = runner.train_dataloader.dataset
        stream, position = dataset.locate(int(sample))
        info = getattr(dataset, stream).get_data_info(position)
        raise UserError(
            f'cache {store.folder}: expected the {name} of '
            f'{info.get("img_path", f"sample {sample}")} in view {view} to '
            f'differ by at most {tolerance:.2g} of its largest value, which '
            f'rounding explains, got {error:.2g}; images, software or '
            'hardware changed since: delete the folder.'
        )
    return dict(
        verified=len(keys) - damaged,
        largest_error=error,
        tolerance=tolerance,
        damaged=damaged,
    )


def _draw(store: FeatureStore, count: int) -> np.ndarray:
    """Draws entries that are there, (M, 2) sample and view."""
    numbers = np.arange(store.samples * store.views)
    keys = np.stack(np.divmod(numbers, store.views), 1)
    keys = keys[store.present(*torch.from_numpy(keys).unbind(1)).numpy()]
    rng = np.random.default_rng()
    return rng.choice(keys, min(count, len(keys)), replace=False)


def _tolerance(teacher: FrozenTeacher, store: FeatureStore) -> float:
    # Those that an ensemble is made of have dtypes of their own.
    computing = max(
        COMPUTING[module.dtype]
        for module in teacher.modules()
        if isinstance(module, FrozenTeacher)
    )
    if next(teacher.parameters()).device.type != 'cpu':
        computing = max(computing, ACCELERATED)
    return computing + ROUNDING[store.dtype]


def _largest_error(
    store: FeatureStore, batch: Batch, live: Dict[str, torch.Tensor]
) -> Tuple[float, str, int]:
    """Returns the largest error, where it is, and the number of damaged."""
    keys: List[Tuple[int, int]] = [
        (s.metainfo['sample_idx'], s.metainfo['view']) for s in batch.samples
    ]
    cached, right = store.read(*torch.tensor(keys).unbind(1))
    worst = (0.0, '')
    for name, values in live.items():
        now = values.cpu().flatten(1)
        off = (cached[name].flatten(1) - now).abs().amax(1)
        errors = off / now.abs().amax(1).clamp_min(1e-12)
        # Not finite is as wrong as can be; but a damaged entry may hold
        # anything.
        errors = errors.nan_to_num(nan=math.inf).where(right, 0.0)
        at = int(errors.argmax())
        found = (float(errors[at]), f'{keys[at][0]} {keys[at][1]} {name}')
        worst = max(worst, found)
    return (*worst, int((~right).sum()))
