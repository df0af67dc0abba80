"""One sample through one pipeline: seeded, and with or without its label."""

from __future__ import annotations

from typing import Any, Optional, Sequence, Union

from mmcv.transforms import Compose
from mmpretrain.structures import DataSample

from ...errors import UserError
from ...registry import TRANSFORMS
from ..images import load_sample
from .views import seed_rng

# What an unlabelled sample may say of itself. Paths are not among it: a
# path holds the class folder's name.
UNLABELLED_META = (
    'ori_shape',
    'img_shape',
    'scale_factor',
    'flip',
    'flip_direction',
)


def compose(pipeline: Optional[Sequence]) -> Optional[Compose]:
    """Builds a pipeline; None stays None.

    Args:
        pipeline (Sequence[dict | Callable], optional): Its transforms.

    Returns:
        Compose | None: The pipeline.

    Raises:
        UserError: If it is none.
    """
    if pipeline is None:
        return None
    for step in pipeline:
        if not isinstance(step, dict) and not callable(step):
            raise UserError(
                f'pipeline: a list of transforms, dict(type=...) each, is '
                f'wanted, but got {step!r}.'
            )
    return Compose(
        [
            TRANSFORMS.build(step) if isinstance(step, dict) else step
            for step in pipeline
        ]
    )


def run_seeded(pipeline: Any, info: dict, *key: Union[int, str]) -> dict:
    """Runs a pipeline, its random draws being those of a key.

    The global random generators stay seeded: see
    :func:`~mmkd_custom.datasets.two_stream.views.kept_rng`.

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
            f'{name}: the pipeline dropped this image (returned None), '
            'but a packed sample is wanted.'
        )
    if 'inputs' not in packed or 'data_samples' not in packed:
        raise UserError(
            f"{name}: the pipeline gave {sorted(packed)}, but 'inputs' "
            "and 'data_samples' are wanted: end it in PackInputs."
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
    """Makes a sample that says nothing but the label, as a pipeline packs it.

    Args:
        info (dict): What its dataset says of it.

    Returns:
        DataSample: With ``gt_label`` or ``gt_score`` if ``info`` has one.
    """
    sample = DataSample()
    if 'gt_label' in info:
        sample.set_gt_label(info['gt_label'])
    if 'gt_score' in info:
        sample.set_gt_score(info['gt_score'])
    return sample
