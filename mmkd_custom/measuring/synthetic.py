"""Generated images in place of a config's, to measure without any data."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Dict, Optional, Union

import numpy as np
from mmengine.config import Config
from PIL import Image

from ..datasets.wrappers import pipeline_of
from ..engine.config import load_config
from ..engine.read_config import read_config
from ..errors import UserError
from ..stages import LABELLED, STREAMS

#: Pixels of an image, and the most classes they are spread over.
SIZE, CLASSES = 256, 10


def load_synthetic(
    path: Union[str, Path],
    options: Optional[dict],
    count: int,
    folder: Union[str, Path],
) -> Config:
    """Reads a config file and gives it generated images.

    Its pipelines, batches, model and schedule stay; the labels mean nothing.

    Args:
        path (str | Path): The config, of a two-stream loader.
        options (dict, optional): As for
            :func:`~mmkd_custom.engine.config.load_config`.
        count (int): Images in all, spread evenly over the streams.
        folder (str | Path): Where they are written.

    Returns:
        Config: As :func:`~mmkd_custom.engine.config.load_config` returns it.

    Raises:
        UserError: If there are too few images, or the config cannot be read
            or has no labelled stream.
    """
    options = dict(options or {})
    try:
        config = read_config(path)
        config.merge_from_dict(options)
    except Exception:
        # It says what is wrong with the file or the options.
        return load_config(path, options)
    dataset = (config.get('train_dataloader') or {}).get('dataset') or {}
    streams = [name for name in STREAMS if isinstance(dataset.get(name), dict)]
    if LABELLED not in streams:
        raise UserError(
            '--synthetic: expected a config whose train_dataloader.dataset is '
            'a TwoStreamDataset, got no labelled stream.'
        )
    number = (config.get('data_preprocessor') or {}).get('num_classes')
    classes = min(number, CLASSES) if isinstance(number, int) else CLASSES
    if count < classes * len(streams):
        raise UserError(
            f'--synthetic: expected a whole number >= {classes * len(streams)}'
            f', an image for each of {classes} classes in each stream, got '
            f'{count}.'
        )
    for number, name in enumerate(streams):
        share = count // len(streams) + (number < count % len(streams))
        write_images(Path(folder) / name, share, classes, seed=number)
        options[f'train_dataloader.dataset.{name}'] = _generated(
            dataset[name], folder, name
        )
    for name in ('val', 'test'):
        loader = config.get(f'{name}_dataloader') or {}
        # It has to be there when the config is checked.
        if isinstance(loader.get('dataset'), dict):
            options[f'{name}_dataloader.dataset'] = dict(
                _generated(loader.dataset, folder, streams[-1]),
                test_mode=True,
            )
    if dataset.get('exclude_labelled'):
        options['train_dataloader.dataset.exclude_labelled'] = False
    return load_config(path, options)


def write_images(folder: Path, count: int, classes: int, seed: int) -> None:
    """Writes JPEG images, as large as photographs of their size are.

    Args:
        folder (Path): Gets a folder for each class.
        count (int): Number of images.
        classes (int): Number of classes, to which they go in turn.
        seed (int): Of the images' content.
    """
    rng = np.random.RandomState(seed)
    for number in range(count):
        target = folder / f'class_{number % classes}' / f'{number:06d}.jpg'
        target.parent.mkdir(parents=True, exist_ok=True)
        # Large shapes and a little noise: neither flat nor incompressible.
        coarse = Image.fromarray(rng.randint(0, 256, (16, 16, 3), np.uint8))
        shapes = coarse.resize((SIZE, SIZE), Image.BICUBIC)
        noise = rng.randint(-12, 13, (SIZE, SIZE, 3))
        pixels = np.clip(np.asarray(shapes, np.int16) + noise, 0, 255)
        Image.fromarray(pixels.astype(np.uint8)).save(target, quality=90)


def _generated(
    dataset: dict, folder: Union[str, Path], domain: str
) -> Dict[str, Any]:
    """Returns what takes a dataset's place: its pipeline, other images."""
    return dict(
        _delete_=True,
        type='mmkd_custom.DomainFolder',
        data_root=str(folder),
        domain=domain,
        pipeline=pipeline_of(dataset),
    )
