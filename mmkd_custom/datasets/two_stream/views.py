"""One view of one sample: seeded draws, a pipeline, and no unwanted label."""

from __future__ import annotations

import hashlib
import random
from contextlib import contextmanager
from typing import (
    Any,
    Dict,
    Iterator,
    Mapping,
    Optional,
    Sequence,
    Tuple,
    Union,
)

import numpy as np
import torch
from mmcv.transforms import Compose
from mmpretrain.structures import DataSample

from ...errors import UserError, nearest
from ...registry import TRANSFORMS
from ...stages import STUDENT
from ..images import load_sample

# What an unlabelled sample may say of itself. Paths are not among it: a
# path holds the class folder's name.
UNLABELLED_META = (
    'ori_shape',
    'img_shape',
    'scale_factor',
    'flip',
    'flip_direction',
)


def derive_seed(*key: Union[int, str]) -> int:
    """Mixes a key into one seed, alike on every platform and Python.

    Args:
        *key (int | str): What the seed shall depend on, such as (seed, sample
            index, view number). Order matters.

    Returns:
        int: A number in [0, 2**64).
    """
    parts = (f'{len(part)}:{part}' for part in map(str, key))
    hashed = hashlib.sha256(''.join(parts).encode()).digest()
    return int.from_bytes(hashed[:8], 'little')


def seed_rng(*key: Union[int, str]) -> None:
    """Seeds Python's, NumPy's and torch's global CPU generators from a key.

    Args:
        *key (int | str): As of :func:`derive_seed`.
    """
    seed = derive_seed(*key)
    random.seed(seed)
    np.random.seed(seed % 2**32)
    # torch.manual_seed would seed the accelerators too, which is slow
    # and not allowed in a forked worker.
    torch.default_generator.manual_seed(seed % 2**63)


@contextmanager
def kept_rng() -> Iterator[None]:
    """Restores the generators that :func:`seed_rng` seeds, on the way out.

    Getting and setting the states takes ten times as long as seeding, so
    whoever makes many views puts one block around all of them.
    """
    python_state = random.getstate()
    numpy_state = np.random.get_state()
    torch_state = torch.default_generator.get_state()
    try:
        yield
    finally:
        random.setstate(python_state)
        np.random.set_state(numpy_state)
        torch.default_generator.set_state(torch_state)


@contextmanager
def seeded_rng(*key: Union[int, str]) -> Iterator[None]:
    """Seeds the global random generators for the length of a ``with`` block.

    So an augmentation that draws from them is a function of the key alone:
    not of the worker, the rank or a resume. Transforms that keep a generator
    of their own are out of its reach.

    Args:
        *key (int | str): As of :func:`derive_seed`.
    """
    with kept_rng():
        seed_rng(*key)
        yield


def compose(option: str, pipeline: Sequence) -> Compose:
    """Builds the pipeline of an option.

    Raises:
        UserError: If it is no list of transforms.
    """
    steps = pipeline if isinstance(pipeline, (list, tuple)) else [pipeline]
    for step in steps:
        if not isinstance(step, dict) and not callable(step):
            raise UserError(
                f'{option}: expected a list of transforms, dict(type=...) '
                f'each, got {step!r}.'
            )
    return Compose(
        [
            TRANSFORMS.build(step) if isinstance(step, dict) else step
            for step in steps
        ]
    )


def compose_views(
    pipelines: Optional[Mapping[str, Sequence]],
) -> Dict[str, Compose]:
    """Builds the pipelines of further views by name.

    Raises:
        UserError: If a name cannot be that of a further view, or
            :func:`compose` refuses what it names.
    """
    if not isinstance(pipelines, (Mapping, type(None))):
        raise UserError(
            'pipelines: expected lists of transforms by the name of the view, '
            f'got {pipelines!r}.'
        )
    for name in pipelines or ():
        if name in (STUDENT, 'inputs') or not str(name).isidentifier():
            raise UserError(
                "pipelines: expected names of further views ('teacher', "
                f"'strong', ...), got {name!r}; the student's view is made by "
                "the stream's own pipeline."
            )
    return {
        name: compose(f'pipelines.{name}', steps)
        for name, steps in (pipelines or {}).items()
    }


def names_of(
    option: str, names: Sequence[str], pipelines: Mapping[str, Any]
) -> Tuple[str, ...]:
    """Returns the names that an option gives, all of them of pipelines.

    Raises:
        UserError: If there is no such pipeline, or it is no list of names.
    """
    for name in [names] if isinstance(names, str) else names:
        if name not in pipelines or isinstance(names, str):
            raise UserError(
                f'{option}: expected a list of names out of pipelines, got '
                f'{name!r} ({nearest(str(name), pipelines)}).'
            )
    return tuple(names)


def run_seeded(pipeline: Any, info: dict, *key: Union[int, str]) -> dict:
    """Runs a pipeline, its random draws being those of a key.

    The global random generators stay seeded: see :func:`kept_rng`.

    Args:
        pipeline (Callable): Transforms that end in ``PackInputs``.
        info (dict): What the dataset knows of the sample, with
            ``sample_idx``. The pipeline writes into it.
        *key (int | str): What the draws depend on.

    Returns:
        dict: With ``inputs`` and ``data_samples``.

    Raises:
        UserError: If the image cannot be read or is not packed.
    """
    name = info.get('img_path', f'sample {info["sample_idx"]}')
    seed_rng(*key)
    packed = load_sample(pipeline, info)
    if packed is None:
        raise UserError(
            f'{name}: expected a packed sample, but the pipeline dropped this '
            'image (returned None).'
        )
    if 'inputs' not in packed or 'data_samples' not in packed:
        raise UserError(
            f"{name}: expected 'inputs' and 'data_samples' of the pipeline, "
            f'got {sorted(packed)}; end it in PackInputs.'
        )
    return packed


def without_label(info: dict) -> dict:
    """Takes every key with ``gt_`` or ``label`` in its name away."""
    return {
        name: value
        for name, value in info.items()
        if 'gt_' not in name and 'label' not in name
    }


def geometry_only(sample: DataSample) -> DataSample:
    """Makes a sample anew that says nothing but :data:`UNLABELLED_META`."""
    kept = DataSample()
    known = sample.metainfo
    for name in UNLABELLED_META:
        if name in known:
            # What set_metainfo does, less a deep copy.
            kept.set_field(known[name], name, field_type='metainfo')
    return kept


def label_only(info: dict) -> DataSample:
    """Makes a sample that says nothing but its label, if ``info`` has one."""
    sample = DataSample()
    if 'gt_label' in info:
        sample.set_gt_label(info['gt_label'])
    if 'gt_score' in info:
        sample.set_gt_score(info['gt_score'])
    return sample
