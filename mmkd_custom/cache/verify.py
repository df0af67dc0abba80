"""Comparing cached teacher outputs with what the teacher says now."""

from __future__ import annotations

import math
from typing import Any, Dict, List, Tuple

import numpy as np
import torch
from mmengine.dist import all_gather_object
from mmengine.runner import Runner

from ..engine.teacher_pass import batches_of
from ..engine.unwrap import unwrapped
from ..errors import UserError
from ..models.batch import Batch
from ..models.teachers import FrozenTeacher
from .store import FeatureStore

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


def verify_cache(
    runner: Runner, count: int, batch_size: int
) -> Dict[str, Any]:
    """Computes some entries anew, drawn at random, and compares.

    Args:
        runner (Runner): Whose cache is open.
        count (int): How many; all that are there if these are fewer.
        batch_size (int): Images the teacher sees at once.

    Returns:
        dict[str, Any]: ``verified``: how many were compared;
        ``largest_error``: the largest difference found in one, relative to
        its largest value; ``tolerance``; ``damaged``: how many of those drawn
        do not have their checksum. A damaged one counts as missing: it is
        computed anew when it is wanted.

    Raises:
        UserError: If an entry differs by more than the tolerance; names the
            worst.
    """
    model = unwrapped(runner)
    store = model.teacher.store
    keys = all_gather_object(_draw(store, count))[0]
    tolerance = _tolerance(model.teacher.teacher, store)
    worst: Tuple[float, str] = (0.0, '')
    damaged = 0
    for batch in batches_of(runner, model, keys, batch_size):
        images = model.teacher_images(batch)
        live = model.teacher.teacher(images, tuple(store.shapes))
        error, where, lost = _largest_error(store, batch, live.named_tensors())
        worst = max(worst, (error, where))
        damaged += lost
    ranks = all_gather_object((worst, damaged))
    error, where = max(worst for worst, _ in ranks)
    damaged = sum(lost for _, lost in ranks)
    if error > tolerance:
        sample, view, name = where.split()
        raise UserError(
            f'cache {store.folder}: the {name} of {_called(runner, sample)} '
            f'in view {view} differs by {error:.2g} of its largest value '
            f'from what the teacher says now, but {tolerance:.2g} is the '
            'most that rounding explains; images, software or hardware '
            'changed since: delete the folder.'
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
    """Gives the largest error, where it is, and the number of damaged."""
    keys: List[Tuple[int, int]] = [
        (s.metainfo['sample_idx'], s.metainfo['view'])
        for s in batch.data_samples
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


def _called(runner: Runner, sample: str) -> str:
    dataset = runner.train_dataloader.dataset
    stream, position = dataset.locate(int(sample))
    info = getattr(dataset, stream).get_data_info(position)
    return info.get('img_path', f'sample {sample}')
