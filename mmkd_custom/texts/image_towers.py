"""What the image towers of a config say of data sets."""

from __future__ import annotations

from pathlib import Path
from typing import Dict, NamedTuple, Optional, Union

import numpy as np
import torch
import torch.nn as nn
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.device import get_device
from torch.utils.data import DataLoader

from ..errors import UserError
from ..export.checkpoint import student_state_dict
from ..models.distillers.building import build_preprocessor
from ..models.outputs import FEATURE
from ..models.student import Student
from ..models.teachers.base import FrozenTeacher
from ..registry import MODELS
from ..stages import STUDENT, TEACHER
from ..utils.files import load_checkpoint, mismatches
from ..utils.progress import progress


class Said(NamedTuple):
    """What a tower says of the N images of a data set.

    Attributes:
        embedding (Tensor): (N, D), that texts are compared with.
        feature (Tensor): (N, D_s), what its projection consumes; of a teacher
            the embedding.
    """

    embedding: torch.Tensor
    feature: torch.Tensor


class ImageTowers:
    """A student and the teacher whose texts it was trained for.

    Args:
        config (Config): Of the student's run.
        checkpoint (str | Path): Of the run, or a plain ``student.pth``.
        teacher (FrozenTeacher, optional): To be asked as well. Defaults to
            None.

    Attributes:
        width (int): Of the student's embedding.

    Raises:
        UserError: If the checkpoint is damaged or not of the config's
            student.
    """

    def __init__(
        self,
        config: Config,
        checkpoint: Union[str, Path],
        teacher: Optional[FrozenTeacher] = None,
    ) -> None:
        device = get_device()
        student = load_plain_student(config, checkpoint)
        size = config.model.get('input_size', 224)
        self.view = Student(student, input_size=size)
        self.width = self.view.num_classes
        student.to(device)
        self.teacher = None if teacher is None else teacher.to(device)
        preprocessor = config.get('data_preprocessor')
        self.preprocessor = build_preprocessor(
            config.model.get('data_preprocessor', preprocessor)
        ).to(device)
        loader = config.get('test_dataloader') or {}
        self.batch_size = loader.get('batch_size', 64)
        self.workers = loader.get('num_workers', 0)

    @torch.no_grad()
    def say(self, dataset: object, name: str) -> Dict[str, Said]:
        """Shows each image of a data set to each tower.

        Args:
            dataset (BaseDataset): With a pipeline.
            name (str): What it is called.

        Returns:
            dict[str, Said]: On the CPU, by ``student`` and ``teacher``.
        """
        found: Dict[str, list] = {}
        loader = DataLoader(
            dataset,
            batch_size=self.batch_size,
            num_workers=self.workers,
            collate_fn=pseudo_collate,
        )
        with progress(f'asking about {name}', len(dataset), 'images') as bar:
            for data in loader:
                images = self.preprocessor(data, False)['inputs']
                said = self.view.run(images)
                parts = {STUDENT: (said.logits, said.feature)}
                if self.teacher is not None:
                    seen = self.teacher.prepare(
                        images, *self.preprocessor.pixels
                    )
                    feature = self.teacher(seen, (FEATURE,)).feature
                    parts[TEACHER] = (feature, feature)
                for tower, pair in parts.items():
                    pair = [part.float().cpu() for part in pair]
                    found.setdefault(tower, []).append(pair)
                bar.advance(len(images))
        return {
            tower: Said(*map(torch.cat, zip(*pairs)))
            for tower, pairs in found.items()
        }


def load_plain_student(
    config: Config, checkpoint: Union[str, Path]
) -> nn.Module:
    """Builds the student of a config with the weights of a checkpoint.

    Args:
        config (Config): Of a distiller, or of a plain classifier.
        checkpoint (str | Path): Of a run, or a plain student's.

    Raises:
        UserError: If keys or shapes differ.
    """
    model = MODELS.build(config.model.get(STUDENT, config.model))
    weights = student_state_dict(load_checkpoint(checkpoint))
    wrong = mismatches(model, weights)
    if wrong:
        raise UserError(
            f'checkpoint {checkpoint}: expected the student of the config, '
            f'got {"; ".join(wrong)}.'
        )
    model.load_state_dict(weights)
    return model.eval()


def labels_of(dataset: object, name: str) -> np.ndarray:
    """Returns the class of every image, (N,).

    Args:
        dataset (BaseDataset): The images.
        name (str): What it is called.

    Raises:
        UserError: If an image has not exactly one.
    """
    labels = [
        np.atleast_1d(dataset.get_data_info(i).get('gt_label', ()))
        for i in range(len(dataset))
    ]
    if not labels or any(len(label) != 1 for label in labels):
        raise UserError(
            f'{name}: expected images with one label each, got '
            f'{"no image" if not labels else "another number of them"}.'
        )
    return np.concatenate(labels).astype(np.int64)
