"""Adapts the teacher of a config to its labelled data."""

from __future__ import annotations

from pathlib import Path
from typing import Tuple, Type, Union

from mmengine.config import Config
from mmengine.device import get_device
from mmengine.logging import print_log

from ..models.teachers.wrappers.adapted import (
    LORA,
    Adaptation,
    AdaptedTeacher,
    build_unadapted,
    split_execution,
)
from ..models.teachers.wrappers.base import feature_name, input_summary
from .config import scope_of, seed_of, teacher_to_fit, usage
from .labelled import LabelledImages
from .training import AdaptSettings, train_adapter


def adapt_config(
    config: Config,
    settings: AdaptSettings,
    out: Union[str, Path, None] = None,
) -> Tuple[Adaptation, Path]:
    """Adapts the teacher of a config on its labelled data and stores that.

    The unlabelled dataset is not even built, so no label of the target is
    read.

    Args:
        config (Config): From :func:`~mmkd_custom.engine.config.load_config`,
            with a teacher in its model. Of an ``AdaptedTeacher``, the teacher
            inside is adapted anew, in a ``CachedTeacher`` too.
        settings (AdaptSettings): How.
        out (str | Path, optional): The safetensors file. Defaults to None,
            the one that an ``AdaptedTeacher`` of the config names, else
            ``teacher_<mode>.safetensors`` in the config's work directory.

    Returns:
        tuple[Adaptation, Path]: What was stored, and where.

    Raises:
        UserError: If the config has no teacher or no labels, the teacher
            cannot be adapted, or the file cannot be written.
    """
    spec, path = teacher_to_fit(config, *_kind(settings.mode), out=out)
    seed = seed_of(config)
    with scope_of(config):
        spec, execution = split_execution(spec)
        teacher = build_unadapted(spec)
        # The whole batch of a step need not fit beside the activations.
        teacher.max_batch = execution.get('max_batch')
        digest = teacher.digest()
        teacher.to(get_device())
        images = LabelledImages(
            config, teacher, settings.holdout, settings.batch_size, seed
        )
    print_log(
        f'Adapting {teacher.name} ({settings.mode}) on {len(images.train)} '
        f'labelled images of {len(images.classes)} classes; '
        f'{len(images.held_out)} are held out.',
        logger='current',
    )
    trained = train_adapter(
        teacher,
        images.batches,
        len(images.classes),
        settings,
        seed,
        images.held_out_batches if len(images.held_out) else None,
    )
    adaptation = Adaptation(
        tensors=trained.tensors,
        mode=settings.mode,
        teacher=teacher.name,
        teacher_sha256=digest,
        classes=images.classes,
        accuracy=trained.accuracy,
        feature=feature_name(teacher),
        input=input_summary(teacher),
        split_sha256=images.split_sha256,
        seed=seed,
        rank=settings.rank if settings.mode == LORA else None,
        alpha=settings.alpha if settings.mode == LORA else None,
    )
    adaptation.save(path)
    return adaptation, path


def adapt_usage(config: Config, mode: str, path: Union[str, Path]) -> str:
    """Returns how a run gets the adapted teacher.

    Args:
        config (Config): The config whose teacher was adapted.
        mode (str): 'norm', 'lora' or 'full'.
        path (str | Path): The adaptation's file.
    """
    return usage(config, *_kind(mode)[:2], path)


def _kind(mode: str) -> Tuple[Type[AdaptedTeacher], str, str]:
    """What it is for, the option that names its file, and the file."""
    return AdaptedTeacher, 'adaptation', f'teacher_{mode}.safetensors'
