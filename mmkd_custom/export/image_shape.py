"""What a run's student saw when it was tested."""

from __future__ import annotations

import math
import tempfile
from pathlib import Path
from typing import Optional, Tuple

from mmengine.config import Config
from mmengine.dataset import Compose
from mmengine.registry import DefaultScope
from PIL import Image

from ..datasets.wrappers import pipeline_of
from ..registry import SCOPE
from .plain import test_dataset

#: Width and height of images of which no side is the other's.
SIZES = ((500, 300), (300, 500))


def input_shape(config: Config) -> Optional[Tuple[int, int, int]]:
    """Returns the shape of a test image as the model sees it.

    The options of a pipeline's transforms name sizes in several ways and
    orders, so the pipeline is run.

    Args:
        config (Config): The run's.

    Returns:
        tuple[int, int, int] | None: Channels, height and width; None where
        they depend on the image or the pipeline needs more than one.
    """
    pipeline = pipeline_of(test_dataset(config))
    if not pipeline:
        return None
    shapes = set()
    with tempfile.TemporaryDirectory() as folder:
        for size in SIZES:
            path = Path(folder) / 'image.png'
            Image.new('RGB', size).save(path)
            try:
                with DefaultScope.overwrite_default_scope(SCOPE):
                    sample = Compose(pipeline)(
                        dict(img_path=str(path), gt_label=0)
                    )
                shapes.add(tuple(sample['inputs'].shape))
            # A transform of the user may want anything.
            except Exception:
                return None
    if len(shapes) > 1:
        return None
    channels, height, width = shapes.pop()
    step = _divisor(config)
    return (
        channels,
        math.ceil(height / step) * step,
        math.ceil(width / step) * step,
    )


def _divisor(config: Config) -> int:
    """Returns what the preprocessor pads images to multiples of."""
    own = config.model.get('data_preprocessor')
    options = own or config.get('data_preprocessor') or {}
    return options.get('pad_size_divisor', 1)
