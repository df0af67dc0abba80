"""The labelled images of a config, as its teacher sees them."""

from __future__ import annotations

from typing import Iterable, Iterator, List, Optional, Tuple

import numpy as np
import torch
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from torch.utils.data import DataLoader

from ..datasets import SampleKey, TwoStreamDataset
from ..datasets.subset import stratified_subset
from ..datasets.two_stream.views import derive_seed
from ..datasets.wrappers import pipeline_of, with_pipeline
from ..errors import UserError
from ..models.batch import hard_labels
from ..models.distillers.building import build_preprocessor
from ..models.teachers.base import FrozenTeacher
from ..stages import TEACHER

#: Prepared images (N, 3, H, W) and class indices (N,), on the teacher's
#: device.
Batches = Iterator[Tuple[torch.Tensor, torch.Tensor]]


class LabelledImages:
    """Batches of a config's labelled images, part of them held out.

    What is trained on goes through the training pipeline, in another seeded
    view every epoch. What is held out goes through the validation pipeline,
    as images do when a student is tested; where a pipeline of its own makes
    the teacher's images, it goes through that, in view 0. The unlabelled
    dataset is left out of all this.

    Args:
        config (Config): With ``train_dataloader``.
        teacher (FrozenTeacher): Whose preparation and device count.
        holdout (float): Share of every class's images that is held out. At
            least one a class, unless that is its only one; 0 holds out none.
        batch_size (int): Images a batch.
        seed (int): Of the hold-out, the views and the order.

    Attributes:
        train (np.ndarray): Indices of the images to train on.
        held_out (np.ndarray): Indices of the others.
        labels (np.ndarray): Class index of every image.
        classes (list[str]): Class names, in order.
        split_sha256 (str): SHA-256 of all labelled samples.

    Raises:
        UserError: If the config has no labelled data of single labels.
    """

    def __init__(
        self,
        config: Config,
        teacher: FrozenTeacher,
        holdout: float,
        batch_size: int,
        seed: int = 0,
    ) -> None:
        loader = config.get('train_dataloader')
        if not loader or not loader.get('dataset'):
            raise UserError(
                'config: train_dataloader.dataset: expected a dataset with '
                'labelled images, got none.'
            )
        self.teacher = teacher
        self.batch_size = batch_size
        self.seed = seed
        self._workers = loader.get('num_workers', 0)
        preprocessor = config.get('data_preprocessor')
        self._preprocessor = build_preprocessor(
            config.model.get('data_preprocessor', preprocessor)
        ).to(next(teacher.parameters()).device)
        self._views, self._still = _datasets(config, seed)
        self.labels = labels = _labels(self._views)
        names = self._views.CLASSES or range(int(labels.max()) + 1)
        self.classes: List[str] = list(map(str, names))
        self.split_sha256 = self._views.split_sha256
        self.held_out = hold_out(labels, holdout, seed)
        self.train = np.setdiff1d(np.arange(len(labels)), self.held_out)

    def batches(self, epoch: int) -> Batches:
        """Returns the images to train on, shuffled.

        Args:
            epoch (int): Number of the epoch, which is that of the view.
        """
        seed = derive_seed(self.seed, 'order', epoch)
        order = np.random.RandomState(seed % 2**32).permutation(self.train)
        return self._batches(self._views, order, epoch)

    def held_out_batches(self) -> Batches:
        """Returns the images held out, in order."""
        return self._batches(self._still, self.held_out, 0)

    def still_batches(
        self, indices: Optional[Iterable[int]] = None
    ) -> Batches:
        """Returns images in order, as those held out are seen.

        Args:
            indices (Iterable[int], optional): Which. Defaults to None, all.
        """
        if indices is None:
            indices = range(len(self.train) + len(self.held_out))
        return self._batches(self._still, indices, 0)

    def _batches(
        self, dataset: TwoStreamDataset, indices: Iterable[int], view: int
    ) -> Batches:
        keys = [SampleKey(int(i), view, (TEACHER,)) for i in indices]
        chunks = [
            keys[start : start + self.batch_size]
            for start in range(0, len(keys), self.batch_size)
        ]
        for data in DataLoader(
            dataset,
            batch_sampler=chunks,
            num_workers=self._workers,
            collate_fn=pseudo_collate,
        ):
            data = self._preprocessor(data, False)
            images = data.get('views', {}).get(TEACHER, data['inputs'])
            inputs = self.teacher.prepare(images, *self._preprocessor.pixels)
            labels = hard_labels(data['data_samples'])
            yield inputs, labels.to(inputs.device)


def _datasets(
    config: Config, seed: int
) -> Tuple[TwoStreamDataset, TwoStreamDataset]:
    given = config.train_dataloader.dataset
    if 'labelled' not in given:
        given = dict(labelled=given)
    labelled = given['labelled']
    options = dict(seed=given.get('seed', seed))
    own = (given.get('pipelines') or {}).get(TEACHER)
    if own is not None:
        options['pipelines'] = {TEACHER: own}
        for option in ('independent', 'clean'):
            if TEACHER in given.get(option, ()):
                options[option] = (TEACHER,)
    views = TwoStreamDataset(labelled=labelled, **options)
    loader = config.get('val_dataloader') or config.get('test_dataloader')
    pipeline = pipeline_of((loader or {}).get('dataset') or {})
    if pipeline is None or own is not None:
        return views, views
    still = TwoStreamDataset(labelled=with_pipeline(labelled, pipeline))
    return views, still


def _labels(dataset: TwoStreamDataset) -> np.ndarray:
    labels = []
    for index in range(dataset.num_labelled):
        info = dataset.labelled.get_data_info(index)
        label = info.get('gt_label')
        if label is None:
            label = int(np.argmax(info['gt_score']))
        if np.ndim(label):
            raise UserError(
                'train_dataloader.dataset: expected one label a sample, got '
                f'{list(label)} of sample {index}.'
            )
        labels.append(int(label))
    return np.asarray(labels)


def hold_out(labels: np.ndarray, share: float, seed: int) -> np.ndarray:
    """Draws which images are held out, a share of each class.

    Args:
        labels (np.ndarray): Class index of every image (N,).
        share (float): In [0, 1).
        seed (int): Of the draw.

    Returns:
        np.ndarray: Their sorted positions; each class keeps one image.
    """
    if share == 0:
        return np.empty(0, dtype=np.int64)
    drawn = stratified_subset(labels, fraction=share, seed=seed)
    # Every class keeps one image to be trained on.
    kept = []
    for label in np.unique(labels):
        members = drawn[labels[drawn] == label]
        all_drawn = len(members) == (labels == label).sum()
        kept.append(members[1:] if all_drawn else members)
    return np.sort(np.concatenate(kept))
