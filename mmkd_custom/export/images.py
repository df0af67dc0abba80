"""The images that exported files are measured on, and calibrated with."""

from __future__ import annotations

from contextlib import contextmanager
from typing import Iterator, List, NamedTuple, Optional, Sequence

import numpy as np
import torch
from mmengine.config import Config
from mmengine.dataset import Compose, pseudo_collate
from mmengine.registry import DefaultScope
from mmengine.utils import import_modules_from_strings

from ..datasets.images import load_sample
from ..datasets.wrappers import innermost, pipeline_of, with_pipeline
from ..errors import UserError
from ..models.batch import Pixels
from ..models.distillers.building import build_preprocessor
from ..registry import DATASETS, SCOPE, TRANSFORMS
from .plain import given_preprocessor, test_dataset

#: Images that int8 ranges are taken from.
CALIBRATION = 256
_BATCH = 32


class Images(NamedTuple):
    """A batch of images.

    Attributes:
        raw (list[np.ndarray]): N of (H, W, 3) uint8 RGB as they are read;
            empty unless asked for.
        prepared (np.ndarray): (N, C, H, W) float32, as the network sees them.
        labels (np.ndarray): (N,) int; -1 where there is none.
    """

    raw: List[np.ndarray]
    prepared: np.ndarray
    labels: np.ndarray


class Sight:
    """How a run's student sees an image when it is tested.

    Args:
        config (Config): The run's.

    Raises:
        UserError: If it has no test with a pipeline.
    """

    def __init__(self, config: Config) -> None:
        self.config = config
        self.pipeline = pipeline_of(test_dataset(config))
        if not self.pipeline:
            raise UserError(
                'test_dataloader: expected a dataset with a pipeline in the '
                "run's config, which tells what the student sees, got none."
            )
        model = config.model
        with scope_of(config):
            self._read = TRANSFORMS.build(self.pipeline[0])
            self._steps = Compose(list(self.pipeline[1:]))
            self._preprocessor = build_preprocessor(
                given_preprocessor(config), model.get('student', model)
            )

    @property
    def pixels(self) -> Pixels:
        """Pixels: How images are normalised."""
        found = getattr(self._preprocessor, 'pixels', Pixels())
        if found.mean is not None:
            return found
        return Pixels(torch.zeros(3), torch.ones(3), found.to_rgb)

    @property
    def colour(self) -> bool:
        """bool: Whether images are read from files, in colour."""
        name = str(self.pipeline[0]['type']).rpartition('.')[2]
        colour = self.pipeline[0].get('color_type', 'color') == 'color'
        return name == 'LoadImageFromFile' and colour

    def read(self, info: dict) -> dict:
        """Reads one image.

        Args:
            info (dict): With ``img_path``, as of a dataset.

        Returns:
            dict: What the pipeline goes on with, ``img`` among it.
        """
        return load_sample(self._read, dict(info))

    def prepare(self, read: dict) -> np.ndarray:
        """Returns one image as the network sees it, (1, C, H, W) float32."""
        data = pseudo_collate([self._steps(read)])
        return self._preprocessor(data, False)['inputs'].numpy()


class Seen:
    """The images of a dataset as a student sees them.

    Args:
        sight (Sight): The student's.
        dataset (dict): Config of the dataset.

    Raises:
        UserError: If it cannot be built.
    """

    def __init__(self, sight: Sight, dataset: dict) -> None:
        self.sight = sight
        with scope_of(sight.config):
            self.dataset = DATASETS.build(with_pipeline(dataset, []))

    def __len__(self) -> int:
        return len(self.dataset)

    @property
    def classes(self) -> Optional[Sequence[str]]:
        """Sequence[str] | None: Of the dataset, if it has any."""
        return (self.dataset.metainfo or {}).get('classes')

    def batches(
        self,
        raw: bool = False,
        most: Optional[int] = None,
        size: int = _BATCH,
    ) -> Iterator[Images]:
        """Yields the images in batches.

        Args:
            raw (bool): Whether as they are read too. Defaults to False.
            most (int, optional): How many, drawn evenly from all. Defaults to
                None, all.
            size (int): Images of a batch. Defaults to 32.
        """
        count = len(self.dataset)
        # Evenly: folders list their images by class.
        taken = min(count, most or count)
        indices = [i * count // taken for i in range(taken)]
        for start in range(0, taken, size):
            infos = [self._info(i) for i in indices[start : start + size]]
            labels = [np.ravel(i.get('gt_label', -1)) for i in infos]
            read = [self.sight.read(info) for info in infos]
            yield Images(
                # Steps replace an image and do not change it.
                [_rgb(one['img']) for one in read] if raw else [],
                np.concatenate([self.sight.prepare(one) for one in read]),
                np.array([x[0] if len(x) == 1 else -1 for x in labels]),
            )

    def _info(self, index: int) -> dict:
        dataset, index = innermost(self.dataset, index)
        return dataset.get_data_info(index)


def _rgb(image: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(image[..., ::-1])


def test_images(sight: Sight) -> Seen:
    """Returns the images that a run's student is tested on.

    Raises:
        UserError: If they are not where the config says.
    """
    return Seen(sight, test_dataset(sight.config))


def calibration_images(sight: Sight, folder: Optional[str] = None) -> Seen:
    """Returns images, of which no label is read, to take int8 ranges from.

    Args:
        sight (Sight): The student's.
        folder (str, optional): Any folder of images. Defaults to None, the
            unlabelled images that the run was trained with.

    Raises:
        UserError: If there are none.
    """
    if folder is not None:
        dataset = dict(type='mmkd_custom.ImageFolder', data_root=folder)
        return Seen(sight, dataset)
    loader = sight.config.get('train_dataloader') or {}
    unlabelled = (loader.get('dataset') or {}).get('unlabelled')
    if not unlabelled:
        raise UserError(
            '--int8: expected unlabelled images of the target to calibrate '
            'on, got a run without train_dataloader.dataset.unlabelled; name '
            'a folder of images with --calibrate.'
        )
    return Seen(sight, unlabelled)


@contextmanager
def scope_of(config: Config) -> Iterator[None]:
    """Builds what a run's config names inside the ``with`` block."""
    if config.get('custom_imports'):
        import_modules_from_strings(**config.custom_imports)
    name = config.get('default_scope', SCOPE)
    with DefaultScope.overwrite_default_scope(name), torch.no_grad():
        yield
