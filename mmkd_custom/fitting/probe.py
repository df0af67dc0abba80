"""Fits a linear probe of a config's teacher to its labelled data."""

from __future__ import annotations

from pathlib import Path
from typing import Tuple, Union

import torch
from mmengine.config import Config
from mmengine.device import get_device
from mmengine.logging import print_log

from ..errors import UserError
from ..models.outputs import FEATURE
from ..models.teachers.base import FrozenTeacher
from ..models.teachers.wrappers.base import (
    build_wrapped,
    feature_name,
    input_summary,
)
from ..models.teachers.wrappers.probed import (
    STANDARDIZE,
    Probe,
    ProbedTeacher,
)
from ..utils.progress import progress
from .config import scope_of, seed_of, teacher_to_fit, usage
from .labelled import LabelledImages
from .logistic import ProbeFit, fit_probe

#: What it is for, the option that names its file, and the file.
_KIND = (ProbedTeacher, 'probe', 'probe.safetensors')


def probe_config(
    config: Config,
    normalization: str = STANDARDIZE,
    holdout: float = 0.2,
    out: Union[str, Path, None] = None,
) -> Tuple[Probe, ProbeFit, Path]:
    """Probes the teacher of a config on its labelled data; stores the probe.

    Each labelled image is looked at once, through the validation pipeline and
    not through the augmentations: a probe is to tell what is in an image, the
    whole of it is in that view, and the result depends on no draw. Where the
    dataset makes the teacher's images by a pipeline of its own, that is used,
    in view 0, because it makes them at the teacher's size. The unlabelled
    dataset is not even built, so no label of the target is read.

    Args:
        config (Config): From :func:`~mmkd_custom.engine.config.load_config`,
            with a teacher in its model. Of a ``ProbedTeacher``, the teacher
            inside is probed anew, in a ``CachedTeacher`` too.
        normalization (str): 'none', 'l2' or 'standardize'. Defaults to
            'standardize'.
        holdout (float): Share of the images of each class that chooses the
            regularisation. Defaults to 0.2.
        out (str | Path, optional): The safetensors file. Defaults to None,
            the one that a ``ProbedTeacher`` of the config names, else
            ``probe.safetensors`` in the config's work directory.

    Returns:
        tuple[Probe, ProbeFit, Path]: What was stored, how it was chosen, and
        where it is.

    Raises:
        UserError: If the config has no teacher or no labels, too few images
            can be held out, or the file cannot be written.
    """
    if not 0 < holdout < 1:
        raise UserError(f'holdout: expected a share in (0, 1), got {holdout}.')
    spec, path = teacher_to_fit(config, *_KIND, out=out)
    seed = seed_of(config)
    loader = config.get('val_dataloader') or {}
    batch_size = loader.get('batch_size', 64)
    with scope_of(config):
        teacher = build_wrapped(spec, 'model.teacher', {})
        digest = teacher.digest()
        teacher.to(get_device())
        images = LabelledImages(config, teacher, holdout, batch_size, seed)
    print_log(
        f'Probing {teacher.describe()} on {len(images.train)} + '
        f'{len(images.held_out)} labelled images of {len(images.classes)} '
        'classes.',
        logger='current',
    )
    features, labels = _extract(teacher, images)
    present = set(labels.tolist())
    lacking = [n for i, n in enumerate(images.classes) if i not in present]
    if lacking or len(images.classes) < 2:
        raise UserError(
            'labelled: expected images of each of at least two classes, got '
            f'{len(present)} of {len(images.classes)}, none of '
            f'{", ".join(map(repr, lacking)) or "others"}.'
        )
    fit = fit_probe(features, labels, [images.held_out], normalization)
    probe = Probe(
        tensors=fit.tensors,
        normalization=normalization,
        classes=images.classes,
        teacher=teacher.name,
        teacher_sha256=digest,
        feature=feature_name(teacher),
        input=input_summary(teacher),
        c=fit.chosen.c,
        accuracy=fit.chosen.held_out,
        split_sha256=images.split_sha256,
        seed=seed,
    )
    probe.save(path)
    return probe, fit, path


def probe_usage(config: Config, path: Union[str, Path]) -> str:
    """Returns how a run gets the probed teacher.

    Args:
        config (Config): The config whose teacher was probed.
        path (str | Path): The probe's file.
    """
    return usage(config, *_KIND[:2], path)


def _extract(
    teacher: FrozenTeacher, images: LabelledImages
) -> Tuple[torch.Tensor, torch.Tensor]:
    """Returns the feature (N, D) and the class (N,) of every image."""
    count = len(images.train) + len(images.held_out)
    features, labels = [], []
    with progress('asking the teacher', count, 'images') as bar:
        for inputs, targets in images.still_batches():
            features.append(teacher(inputs, (FEATURE,)).feature.cpu())
            labels.append(targets.cpu())
            bar.advance(len(targets))
    return torch.cat(features), torch.cat(labels)
