"""Which untrained student is most like the teacher?"""

from __future__ import annotations

from dataclasses import dataclass
from statistics import mean, pstdev
from typing import Dict, Iterator, List

import numpy as np
import torch
import torch.nn as nn
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from torch.utils.data import DataLoader

from ..datasets import SampleKey
from ..datasets.two_stream.views import seeded_rng
from ..engine.config_data import config_scope, training_data
from ..models.batch import Batch
from ..models.distillers.building import build_preprocessor
from ..models.losses import GramRelation
from ..models.options import checked_size
from ..models.outputs import FEATURE
from ..models.student import Student
from ..registry import MODELS
from ..stages import STUDENT, TEACHER
from ..utils.progress import progress
from .describe import build_teacher


@dataclass
class Ranked:
    """One student.

    Attributes:
        name (str): What the user called it.
        parameters (int): Of all of it.
        distance (float): Mean over the seeds.
        spread (float): Standard deviation over the seeds.
    """

    name: str
    parameters: int
    distance: float
    spread: float


@torch.no_grad()
def rank_students(
    config: Config,
    students: Dict[str, dict],
    images: int = 256,
    seeds: int = 3,
    batch_size: int = 64,
) -> List[Ranked]:
    r"""Ranks students by their distance from a teacher, without training.

    After DisWOT (arXiv 2303.15678): with G the Gram matrix of the features of
    N images, each row divided by its norm, the distance is

    .. math:: \| G_t - G_s \|^2 / N^2,

    that of :class:`~mmkd_custom.models.losses.GramRelation`, and the nearest
    student is expected to learn most. Ours: of the paper's two measures it is
    the relation between samples alone, of the pooled feature, with the mean
    over several random initialisations; BatchNorm sees batches.

    Args:
        config (Config): From :func:`~mmkd_custom.engine.config.load_config`,
            with a teacher and training data. No label is used.
        students (dict[str, dict]): Classifiers by name, which start from
            random weights.
        images (int): N, drawn from all training images with seed 0, or all
            of them. Defaults to 256.
        seeds (int): Initialisations of each student. Defaults to 3.
        batch_size (int): Images that a network sees at once. Defaults to 64.

    Returns:
        list[Ranked]: The nearest first.

    Raises:
        UserError: If the config has no teacher or no data, a student cannot
            be split at its last linear layer, or a number is none.
    """
    for name, value in dict(
        images=images, seeds=seeds, batch_size=batch_size
    ).items():
        checked_size(f'--{name.replace("_", "-")}', value)
    teacher = build_teacher(config)
    device = next(teacher.parameters()).device
    seen, features = [], []
    for batch in _batches(config, images, batch_size, device):
        features.append(teacher.ask(batch, (FEATURE,)).feature.float())
        seen.append(batch.image(STUDENT))
    target, loss = torch.cat(features), GramRelation()
    size, found = config.model.get('input_size', 224), []
    with progress('Students', seeds * len(students), 'starts') as bar:
        for name, student in students.items():
            distances = []
            for seed in range(seeds):
                model = _start(config, student, seed).to(device)
                view = Student(model, input_size=size)
                said = [view.run(x, (FEATURE,)).feature for x in seen]
                distances.append(float(loss(torch.cat(said), target)))
                bar.advance()
            count = sum(p.numel() for p in model.parameters())
            spread = pstdev(distances)
            found.append(Ranked(name, count, mean(distances), spread))
    return sorted(found, key=lambda each: each.distance)


def _start(config: Config, student: dict, seed: int) -> nn.Module:
    with config_scope(config), seeded_rng(seed):
        model = MODELS.build(student)
        model.init_weights()
    return model.train()


def _batches(
    config: Config, images: int, batch_size: int, device: torch.device
) -> Iterator[Batch]:
    with config_scope(config):
        dataset = training_data(config)
        given = config.get('data_preprocessor')
        preprocessor = build_preprocessor(
            config.model.get('data_preprocessor', given)
        ).to(device)
    order = np.random.RandomState(0).permutation(len(dataset))[:images]
    chunks = [
        # A batch has labelled samples first.
        [SampleKey(int(i), 0, (STUDENT, TEACHER)) for i in np.sort(chunk)]
        for chunk in np.array_split(order, -(-len(order) // batch_size))
    ]
    for data in DataLoader(
        dataset,
        batch_sampler=chunks,
        num_workers=config.train_dataloader.get('num_workers', 0),
        collate_fn=pseudo_collate,
    ):
        data = preprocessor(data, False)
        views = {STUDENT: data['inputs'], **(data.get('views') or {})}
        yield Batch(data['data_samples'], views, preprocessor.pixels)
