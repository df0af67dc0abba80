"""The files of networks in an exported folder, and how each is asked."""

from __future__ import annotations

import copy
import math
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Callable, Dict, List, NamedTuple, Sequence, Tuple

import numpy as np
import torch
import torch.nn as nn
from PIL import Image

from ..errors import UserError
from ..utils.progress import progress
from .folding.onnx import IMAGE, fold
from .images import Images, Seen, Sight
from .int8 import quantize
from .onnx import INPUT, LOGITS, export_onnx, open_session
from .runtimes import RUNTIMES

ONNX, INT8 = 'student.onnx', 'student_int8.onnx'
UINT8 = dict(
    zip((ONNX, INT8), ('student_uint8.onnx', 'student_int8_uint8.onnx'))
)
#: How many times a file is run on random images where there are no others.
_ASKED = 2
#: Of a logit of single precision, relative to the largest above 1.
_TOLERANCE = 1e-3


class Written(NamedTuple):
    """A file of a network.

    Attributes:
        paths (tuple[Path]): The file, and what belongs to it.
        ask (Callable): What it says, logits (N, K), of a batch of
            :class:`~.images.Images`.
        raw (bool): Whether it takes images as they are read.
        facts (dict): What else is known of it.
        tolerance (float): How far a logit may be from the student's, as for
            :meth:`~.parity.Parity.check`. Defaults to any number: int8, and
            pixels that are resized otherwise, are rounded.
    """

    paths: Tuple[Path, ...]
    ask: Callable[[Images], np.ndarray]
    raw: bool = False
    facts: Dict[str, Any] = {}
    tolerance: float = math.inf


def write_onnx(
    model: nn.Module, folder: Path, shape: Sequence[int]
) -> Written:
    """Writes ``student.onnx``.

    Args:
        model (nn.Module): Any MMPretrain classifier.
        folder (Path): Where.
        shape (Sequence[int]): Channels, height and width of its images.
    """
    path = folder / ONNX
    file = export_onnx(model, path, shape[1:], channels=shape[0])
    return Written(
        (path,),
        _asks(path, INPUT, file.batch),
        facts=dict(takes='prepared', batch=file.batch),
        tolerance=_TOLERANCE,
    )


def write_int8(onnx: Written, images: Seen) -> Written:
    """Writes ``student_int8.onnx`` from ``student.onnx``."""
    path = onnx.paths[0].with_name(INT8)
    count = quantize(onnx.paths[0], path, images, onnx.facts['batch'])
    facts = dict(onnx.facts, calibration_images=count)
    return Written(
        (path,), _asks(path, INPUT, onnx.facts['batch']), facts=facts
    )


def write_folded(onnx: Written, preparation: nn.Module) -> Written:
    """Writes what takes images as they are read, of one that does not."""
    path = onnx.paths[0].with_name(UINT8[onnx.paths[0].name])
    fold(onnx.paths[0], path, preparation)
    return Written(
        (path,), _asks(path, IMAGE, 1), True, dict(onnx.facts, takes='image')
    )


def write_runtime(
    option: str, logits: nn.Module, onnx: Written, shape: Sequence[int]
) -> Written:
    """Writes the file of another runtime, see :mod:`.runtimes`.

    Args:
        option (str): One of :data:`~.runtimes.RUNTIMES`.
        logits (nn.Module): Prepared images to logits, in ``eval()``.
        onnx (Written): The ONNX file.
        shape (Sequence[int]): Of one image.
    """
    runtime = RUNTIMES[option]
    path = onnx.paths[0].with_name(runtime.file)
    with progress(f'writing {path.name}'):
        images = torch.zeros(1, *shape)
        try:
            # Some converters change what they are given.
            network = copy.deepcopy(logits)
            runtime.write(network, images, path, onnx.paths[0])
            run = runtime.open(path)
        # Each raises whatever it likes.
        except Exception as error:
            said = ' '.join(str(error).split())[:200]
            raise UserError(
                f'--{option}: expected a network that it converts, got '
                f'{type(error).__name__}: {said}'
            ) from error
    return Written(
        runtime.files(path),
        lambda images: _one_by_one(run, images.prepared),
        facts=dict(
            takes='prepared',
            batch=onnx.facts['batch'] if runtime.any_batch else 1,
        ),
        tolerance=runtime.tolerance,
    )


def random_images(shape: Sequence[int]) -> List[Images]:
    """Returns prepared images of noise, for want of others."""
    rng = np.random.RandomState(0)
    noise = rng.randn(_ASKED, *shape).astype(np.float32)
    return [Images([], noise, np.full(_ASKED, -1))]


def noise(sight: Sight) -> List[Images]:
    """Returns images of noise as they are read, and as a student sees them.

    Args:
        sight (Sight): The student's.
    """
    rng = np.random.RandomState(0)
    raw, prepared = [], []
    with TemporaryDirectory() as folder:
        path = f'{folder}/noise.png'
        for shape in ((300, 200, 3), (200, 300, 3)):
            raw.append(rng.randint(0, 256, shape).astype(np.uint8))
            Image.fromarray(raw[-1]).save(path)
            prepared.append(sight.prepare(sight.read(dict(img_path=path))))
    return [Images(raw, np.concatenate(prepared), np.full(len(raw), -1))]


def _asks(path: Path, name: str, batch: Any) -> Callable:
    session = open_session(path, threads=1)

    def run(images: np.ndarray) -> np.ndarray:
        return session.run([LOGITS], {name: images})[0]

    if name == IMAGE:
        # Each has a size of its own.
        return lambda images: np.concatenate(
            [run(x[None]) for x in images.raw]
        )
    if batch is None:
        return lambda images: run(images.prepared)
    return lambda images: _one_by_one(run, images.prepared)


def _one_by_one(run: Callable, images: np.ndarray) -> np.ndarray:
    return np.concatenate([run(images[i : i + 1]) for i in range(len(images))])
