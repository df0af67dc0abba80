"""Generated images in place of a config's, to measure without any data."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Optional, Union

import numpy as np
from mmengine.config import Config
from PIL import Image

from ..engine.config import load_config
from ..errors import UserError

#: Pixels of an image, and the classes they are spread over.
SIZE, CLASSES = 256, 10


def load_synthetic(
    path: Union[str, Path],
    options: Optional[dict],
    count: int,
    folder: Union[str, Path],
) -> Config:
    """Reads a config of domains and gives it two generated ones.

    The labels mean nothing. The environment's ``DATA_ROOT``, ``SOURCE`` and
    ``TARGET`` name the images from then on.

    Args:
        path (str | Path): The config file.
        options (dict, optional): As for
            :func:`~mmkd_custom.engine.config.load_config`.
        count (int): Images in all, half of them in each domain.
        folder (str | Path): Where they are written.

    Returns:
        Config: As :func:`~mmkd_custom.engine.config.load_config` returns it.

    Raises:
        UserError: If there are too few images, or the config does not follow
            these variables.
    """
    if count < 2 * CLASSES:
        raise UserError(
            f'--synthetic: expected a number >= {2 * CLASSES}, an image for '
            f'each of {CLASSES} classes in both domains, got {count}.'
        )
    rng = np.random.RandomState(0)
    for number in range(count):
        domain = ('source', 'target')[number % 2]
        name = f'class_{number // 2 % CLASSES}'
        target = Path(folder, domain, name, f'{number:06d}.jpg')
        target.parent.mkdir(parents=True, exist_ok=True)
        # As large as photographs of their size are: large shapes and a little
        # noise, neither flat nor incompressible.
        coarse = Image.fromarray(rng.randint(0, 256, (16, 16, 3), np.uint8))
        shapes = coarse.resize((SIZE, SIZE), Image.BICUBIC)
        noise = rng.randint(-12, 13, (SIZE, SIZE, 3))
        pixels = np.clip(np.asarray(shapes, np.int16) + noise, 0, 255)
        Image.fromarray(pixels.astype(np.uint8)).save(target, quality=90)
    os.environ.update(DATA_ROOT=str(folder), SOURCE='source', TARGET='target')
    config = load_config(path, options)
    dataset = (config.get('train_dataloader') or {}).get('dataset') or {}
    root = (dataset.get('labelled') or {}).get('data_root')
    if root != str(folder):
        raise UserError(
            '--synthetic: expected a config whose labelled images follow '
            f'DATA_ROOT, SOURCE and TARGET, got data_root={root!r}.'
        )
    return config
