"""A student and its teacher on the CPU, each with one image that it takes."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Callable, Tuple

import torch
import torch.nn as nn
from mmengine.config import Config

from ..errors import UserError
from ..export import input_shape
from ..fitting.config import inner_teacher
from ..models.outputs import FEATURE, LOGITS
from ..prediction.students import load_run
from .describe import build_teacher

Network = Tuple[nn.Module, Callable[[torch.Tensor], Any], torch.Tensor]


def student_of(folder: str) -> Network:
    """Returns the student of a folder, a call of it and an image.

    Args:
        folder (str): Of a finished run, or of an exported student.

    Raises:
        UserError: If it cannot be loaded, or its test pipeline does not tell
            the size of an image.
    """
    student = load_run(Path(folder))
    images = _image(_tested(student.config))
    return student.model, student.model, images


def teacher_of(folder: str) -> Network:
    """Returns the teacher of a run, as :func:`student_of` does.

    It gives its feature and, where it has a head, its logits. Its image is
    as large as the run showed it.

    Raises:
        UserError: If the run has no teacher, or it cannot be built.
    """
    config = load_run(Path(folder)).config
    if not isinstance(inner_teacher(config)[0], dict):
        raise UserError(
            f'{folder}: expected a teacher in its config, got none.'
        )
    teacher = build_teacher(config).cpu()
    images = teacher.prepare(_image(_shown(config)))
    wants = [name for name in (FEATURE, LOGITS) if name in teacher.offers]
    return teacher, lambda images: teacher(images, wants), images


def _image(shape: Tuple[int, int, int]) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(1, *shape, generator=generator)


def _tested(config: Config) -> Tuple[int, int, int]:
    shape = input_shape(config)
    if shape is None:
        raise UserError(
            f'{config.filename}: expected a test pipeline that makes images '
            'of one size, got another.'
        )
    return shape


def _shown(config: Config) -> Tuple[int, int, int]:
    """Returns the shape of a teacher's view; without one the student's."""
    dataset = config.get('train_dataloader', {}).get('dataset') or {}
    pipeline = (dataset.get('pipelines') or {}).get('teacher')
    if pipeline:
        loader = dict(dataset=dict(pipeline=pipeline))
        shape = input_shape(Config(dict(model={}, test_dataloader=loader)))
        if shape is not None:
            return shape
    return _tested(config)
