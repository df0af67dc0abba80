"""Features of training images by finished students and their teachers."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Dict, List, Optional, Tuple

import numpy as np
import torch
from mmengine.config import Config

from ..cache import TeacherCacheHook
from ..cache.files import CACHE_FOLDER
from ..datasets import TwoStreamDataset
from ..engine.config import prepare
from ..engine.config_data import training_data
from ..engine.hooks import StandardizeTeacherHook
from ..engine.launch import build_runner
from ..engine.unwrap import unwrapped
from ..errors import UserError
from ..models.distillers import BaseDistiller
from ..models.outputs import FEATURE
from ..stages import LABELLED, STUDENT, TEACHER, UNLABELLED
from ..utils.files import load_checkpoint
from ..utils.runs import latest_checkpoint
from .asking import features_of
from .embedding import Features
from .runs import Run
from .students import Tested, preprocessor_of

#: Training images of the maps.
IMAGES = 600


class Chosen:
    """Training images of a run, drawn alike every time, half a stream.

    Args:
        dataset (TwoStreamDataset): The training images.
        count (int): How many at the most.

    Attributes:
        indices (np.ndarray): (N,) sorted.
        streams (np.ndarray): (N,) names.
        labels (np.ndarray): (N,) classes, read for colours alone; -1 where
            the dataset has none.
        called (list[tuple[str, str]]): Streams that there are, and what a
            picture calls them.
    """

    def __init__(self, dataset: TwoStreamDataset, count: int) -> None:
        self.dataset = dataset
        rng = np.random.default_rng(0)
        sizes = [dataset.num_labelled, dataset.num_unlabelled]
        share = count // sum(size > 0 for size in sizes)
        parts, start = [], 0
        for size in sizes:
            taken = rng.choice(size, min(share, size), replace=False)
            parts.append(start + np.sort(taken))
            start += size
        self.indices = np.concatenate(parts).astype(int)
        places = [dataset.locate(int(index)) for index in self.indices]
        self.streams = np.array([stream for stream, _ in places])
        self.labels = np.array([self._label(*place) for place in places])
        self.called = [
            (stream, self._called(stream))
            for stream in (LABELLED, UNLABELLED)
            if (self.streams == stream).any()
        ]

    def _label(self, stream: str, position: int) -> int:
        info = getattr(self.dataset, stream).get_data_info(position)
        label = np.atleast_1d(info.get('gt_label', -1))
        return int(label[0]) if label.shape == (1,) else -1

    def _called(self, stream: str) -> str:
        domain = getattr(getattr(self.dataset, stream), 'domain', None)
        return f'{stream}: {domain}' if isinstance(domain, str) else stream

    def features(self, title: str, values: torch.Tensor) -> Features:
        """Puts what was said of the images together with what is known."""
        return Features(title, values.numpy(), self.labels, self.streams)


def student_features(
    tested: Tested, count: int = IMAGES
) -> Tuple[Features, Chosen]:
    """Asks the student of a run.

    Args:
        tested (Tested): The student.
        count (int): Images at the most. Defaults to :data:`IMAGES`.

    Returns:
        tuple[Features, Chosen]: Its feature, and of what.

    Raises:
        UserError: If it has no feature, or its training images are gone.
    """
    config, plain = tested.student.config, tested.student.model
    chosen = Chosen(training_data(config), count)
    model = BaseDistiller(
        plain,
        classifier=config.model.get('classifier'),
        input_size=config.model.get('input_size', 224),
        data_preprocessor=preprocessor_of(config),
    ).eval()
    model.to(next(plain.parameters()).device)
    said = features_of(chosen.dataset, model, chosen.indices, [STUDENT])
    title = f'student of {tested.run.name}'
    return chosen.features(title, said[STUDENT]), chosen


def teacher_features(
    run: Run, config: Config, count: int = IMAGES
) -> List[Features]:
    """Asks the teachers of a run, and customizes as its last epoch did.

    Args:
        run (Run): A finished run.
        config (Config): Its config; it is not changed.
        count (int): As of :func:`student_features`.

    Returns:
        list[Features]: Of each teacher, and CustomKD's customized feature;
        none if the run has no teacher.

    Raises:
        UserError: If a teacher cannot be built, or no checkpoint is left.
    """
    model = config.get('model') or {}
    if not (model.get('teacher') or model.get('teachers')):
        return []
    checkpoint = latest_checkpoint(run.work_dir)
    if checkpoint is None:
        raise UserError(
            f'{run.work_dir}: expected a checkpoint such as epoch_1.pth, '
            'which holds the projection of the customized feature, got none.'
        )
    with tempfile.TemporaryDirectory() as folder:
        model, dataset = _taught(run, config, checkpoint, folder)
        chosen = Chosen(dataset, count)
        names = [n for n, t in model.teachers.items() if FEATURE in t.offers]
        said = features_of(dataset, model, chosen.indices, names)
    found = [
        chosen.features(
            "teacher's feature" if name == TEACHER else f'feature of {name}',
            values,
        )
        for name, values in said.items()
    ]
    projection = getattr(model, 'teacher_projection', None)
    if projection is not None:
        device = next(projection.parameters()).device
        with torch.no_grad():
            values = projection(said[TEACHER].to(device)).cpu()
        found.insert(1, chosen.features('customized feature', values))
    return found


def _taught(
    run: Run, config: Config, checkpoint: Path, folder: str
) -> Tuple[BaseDistiller, TwoStreamDataset]:
    """Builds the distiller of a run; nothing is written into its folder."""
    config = Config(config.to_dict(), filename=config.filename)
    # Its caches are read where they lie.
    for option in ('teacher', *(config.model.get('teachers') or {})):
        _point_to_cache(run, config, option)
    config.log_level = 'ERROR'
    prepare(
        config,
        config_path=config.filename,
        work_dir=folder,
        validate=False,
        trains=False,
    )
    config.load_from = None
    runner = build_runner(config, 'train')
    model = unwrapped(runner)
    weights: Dict[str, torch.Tensor] = load_checkpoint(checkpoint)[
        'state_dict'
    ]
    # Owned networks may have tables that only a training makes.
    model.load_state_dict(weights, strict=False)
    for hook in runner.hooks:
        if isinstance(hook, (TeacherCacheHook, StandardizeTeacherHook)):
            hook.before_train(runner)
    return model.eval(), runner.train_dataloader.dataset


def _point_to_cache(run: Run, config: Config, name: str) -> None:
    """Names the folder of a cache, or takes a cache that is gone away."""
    owner = config.model if name == TEACHER else config.model.teachers
    teacher: Optional[dict] = owner.get(name)
    if not teacher or 'CachedTeacher' not in str(teacher.get('type')):
        return
    suffix = '' if name == TEACHER else f'_{name}'
    default = run.work_dir / f'{CACHE_FOLDER}{suffix}'
    folder = Path(teacher.get('cache_dir') or default)
    if folder.is_dir():
        teacher.cache_dir = str(folder.resolve())
    else:
        owner[name] = teacher.teacher
