"""What the students of finished runs say of their test images."""

from __future__ import annotations

from pathlib import Path
from typing import Any, List, NamedTuple, Optional, Sequence, Tuple

import numpy as np
import torch
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.device import get_device
from torch.utils.data import DataLoader

from ..datasets.subset import samples_digest, split_digest
from ..engine.config_data import config_scope
from ..errors import UserError
from ..export.checkpoint import RunStudent, load_student
from ..models.batch import Pixels
from ..models.distillers.building import build_preprocessor
from ..registry import DATASETS
from ..utils.files import STUDENT_FILE
from ..utils.progress import progress
from .browse import denormalised
from .runs import Run


class Tested(NamedTuple):
    """A student, and the images that it is tested on.

    Args:
        run (Run): Whose it is.
        student (RunStudent): The student in ``eval()``.
        dataset (BaseDataset): The test set, with the student's pipeline.
        digest (str): Of its images and labels.
    """

    run: Run
    student: RunStudent
    dataset: Any
    digest: str

    @property
    def classes(self) -> Tuple[str, ...]:
        """tuple[str]: Names of the classes; numbers where there are none."""
        names = (self.dataset.metainfo or {}).get('classes')
        if names is None:
            labels = [
                int(np.max(self.dataset.get_data_info(i)['gt_label']))
                for i in range(len(self.dataset))
            ]
            names = range(max(labels, default=-1) + 1)
        return tuple(map(str, names))


class Answers(NamedTuple):
    """What a student says of every image of the test set.

    Args:
        run (Run): Whose student.
        scores (np.ndarray): (N, C) probabilities.
    """

    run: Run
    scores: np.ndarray

    @property
    def classes(self) -> np.ndarray:
        """np.ndarray: (N,) the class that it gives."""
        return self.scores.argmax(1)


def build_tested(run: Run, options: Optional[dict] = None) -> Tested:
    """Builds the student of a run and its test set.

    Args:
        run (Run): A finished run.
        options (dict, optional): Dotted keys of its config to new values,
            such as where data lie now. Defaults to None.

    Returns:
        Tested: Both.

    Raises:
        UserError: If either cannot be built.
    """
    own = run.work_dir / STUDENT_FILE
    student = load_student(run.work_dir, own if own.is_file() else None)
    config = student.config
    config.merge_from_dict(options or {})
    with config_scope(config):
        dataset = DATASETS.build(_loader(run, config)['dataset'])
    # Labels, and bytes of a few images: two domains may have equal names.
    everything = [('test', dataset, np.arange(len(dataset)))]
    digest = split_digest(dataset)[:8] + samples_digest(everything)[:8]
    return Tested(run, student, dataset, digest)


def check_alike(tested: Sequence[Tested]) -> None:
    """Refuses students that are tested on different images.

    Raises:
        UserError: If images, labels or classes differ.
    """
    for other in tested[1:]:
        first = tested[0]
        if (other.digest, other.classes) != (first.digest, first.classes):
            what = 'classes' if other.digest == first.digest else 'images'
            raise UserError(
                f'WORK_DIR: expected runs with one test set, got '
                f'{first.run.work_dir} and {other.run.work_dir} with other '
                f'{what}.'
            )


def labels_of(tested: Tested) -> np.ndarray:
    """Returns the class of every test image, for evaluation alone.

    Returns:
        np.ndarray: (N,) int.

    Raises:
        UserError: If an image has not exactly one.
    """
    labels = []
    for index in range(len(tested.dataset)):
        label = np.atleast_1d(
            tested.dataset.get_data_info(index).get('gt_label', ())
        )
        if label.shape != (1,):
            raise UserError(
                f'{tested.run.work_dir}: expected test images of one class '
                f'each, got {label.tolist()} for image {index}.'
            )
        labels.append(int(label[0]))
    return np.array(labels, dtype=int)


@torch.no_grad()
def ask(tested: Tested, batch_size: int = 64) -> Answers:
    """Has a student predict the whole test set, as ``tools/test.py`` does.

    Args:
        tested (Tested): From :func:`build_tested`.
        batch_size (int): Images at once. Defaults to 64.

    Returns:
        Answers: Its probabilities.

    Raises:
        UserError: If it has other classes than the test set.
    """
    config = tested.student.config
    model = tested.student.model.to(get_device())
    preprocessor = preprocessor_of(config).to(get_device())
    # Evaluation loads in order, wherever it runs.
    loader = DataLoader(
        tested.dataset,
        batch_size=batch_size,
        num_workers=_loader(tested.run, config).get('num_workers', 0),
        collate_fn=pseudo_collate,
    )
    scores: List[torch.Tensor] = []
    doing, total = f'asking {tested.run.name}', len(tested.dataset)
    with progress(doing, total, 'images') as bar:
        for data in loader:
            data = preprocessor(data, False)
            said = model(data['inputs'], data['data_samples'], mode='predict')
            scores += [sample.pred_score.cpu() for sample in said]
            bar.advance(len(said))
    found = torch.stack(scores).float().numpy()
    if found.shape[1] != len(tested.classes):
        raise UserError(
            f'{tested.run.work_dir}: expected a student of '
            f'{len(tested.classes)} classes, as the test set has, got '
            f'{found.shape[1]}.'
        )
    return Answers(tested.run, found)


def preprocessor_of(config: Config) -> Any:
    """Builds the preprocessor that a config's student gets its images from."""
    model = config.get('model') or {}
    given = model.get('data_preprocessor', config.get('data_preprocessor'))
    with config_scope(config):
        return build_preprocessor(given, model.get('student', model))


def _loader(run: Run, config: Config) -> Any:
    loader = config.get('test_dataloader') or config.get('val_dataloader')
    if not loader:
        raise UserError(
            f'{run.work_dir}: expected a test_dataloader in its config, got '
            'none.'
        )
    return loader


def images_of(
    tested: Tested, indices: Sequence[int]
) -> List[Tuple[str, np.ndarray]]:
    """Returns test images by name, as the student sees them.

    Returns:
        list[tuple[str, np.ndarray]]: File and pixels (H, W, 3) uint8, RGB.
    """
    preprocessor = preprocessor_of(tested.student.config)
    mean, std, rgb = getattr(preprocessor, 'pixels', Pixels())
    found = []
    for index in map(int, indices):
        data = pseudo_collate([tested.dataset[index]])
        pixels = denormalised(preprocessor(data)['inputs'], mean, std)[0]
        info = tested.dataset.get_data_info(index)
        name = Path(info.get('img_path', f'image {index}')).name
        found.append((name, pixels if rgb else pixels[..., ::-1]))
    return found
