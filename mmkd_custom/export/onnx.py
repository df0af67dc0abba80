"""The student as an ONNX file, checked against the student itself."""

from __future__ import annotations

import copy
import math
import os
import warnings
from pathlib import Path
from typing import NamedTuple, Optional, Sequence, Tuple, Union

import torch
import torch.nn as nn

from ..errors import UserError

PACKAGES = "pip install 'mmkd_custom[export]'"


class OnnxFile(NamedTuple):
    """What an exported file is.

    Args:
        difference (float): Largest difference of a logit from the student's,
            relative to the largest logit where that is above 1.
        batch (int, optional): The only batch size it takes; None for any.
    """

    difference: float
    batch: Optional[int]


class _Logits(nn.Module):
    """Gives a classifier the signature that ONNX has: images to logits."""

    def __init__(self, student: nn.Module) -> None:
        super().__init__()
        self.student = student

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        logits = self.student(inputs, mode='tensor')
        return logits[-1] if isinstance(logits, (list, tuple)) else logits


def export_onnx(
    student: nn.Module,
    path: Union[str, Path],
    input_size: Union[int, Sequence[int]],
    opset: int = 17,
    tolerance: float = 1e-4,
    channels: int = 3,
) -> OnnxFile:
    """Exports a classifier and compares the file with it.

    The graph takes ``inputs``, float32 images (N, C, H, W) that are already
    normalised, and gives ``logits`` (N, K), with any batch size N; with 1
    alone if the file would differ otherwise, as that of a Swin does, whose
    windows are counted when it is traced. The file appears only after ONNX
    Runtime gave the same logits on random images.

    Args:
        student (nn.Module): Any MMPretrain classifier; it is copied and not
            changed.
        path (str | Path): The file to write.
        input_size (int | Sequence[int]): Side, or height and width, of the
            images in pixels.
        opset (int): ONNX operator set. Defaults to 17.
        tolerance (float): Largest difference of a logit that is accepted,
            relative to the largest logit where that is above 1. Defaults to
            1e-4.
        channels (int): Channels of an image. Defaults to 3.

    Returns:
        OnnxFile: How far the file is from the student, and which batch size
        it takes.

    Raises:
        UserError: If the ONNX packages are missing, the size is not positive,
            or the file's folder does not exist.
        RuntimeError: If ONNX Runtime gives other logits.
    """
    height, width = height_width(input_size)
    path = Path(path)
    if not path.parent.is_dir():
        raise UserError(f'onnx file {path}: its folder does not exist.')
    runtime = onnx_runtime()
    model = _Logits(copy.deepcopy(student).cpu().float()).eval()
    # Not the global generator: an export must not change a run.
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(2, channels, height, width, generator=generator)
    temporary = path.with_name(f'.{path.name}.{os.getpid()}.tmp')
    try:
        batch = None
        try:
            difference = _write(model, images, temporary, opset, runtime)
        # Whatever torch or ONNX Runtime raise about it.
        except Exception:
            difference = math.inf
        if not difference <= tolerance:
            batch = 1
            difference = _write(model, images[:1], temporary, opset, runtime)
        if not difference <= tolerance:
            raise RuntimeError(
                f'onnx file {path}: ONNX Runtime differs from the student by '
                f'{difference:.2e}, but at most {tolerance:.0e} is wanted.'
            )
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    return OnnxFile(difference, batch)


def height_width(input_size: Union[int, Sequence[int]]) -> Tuple[int, int]:
    """Returns height and width, given one side or both.

    Args:
        input_size (int | Sequence[int]): One side, or height and width.

    Raises:
        UserError: If they are not one or two positive numbers.
    """
    sides = (input_size,) if isinstance(input_size, int) else tuple(input_size)
    sides = sides * 2 if len(sides) == 1 else sides
    if len(sides) != 2 or min(sides) < 1:
        raise UserError(
            f'--input-size {input_size!r}: expected one positive side, or '
            'height and width, in pixels.'
        )
    return sides


def onnx_runtime():
    """Returns the module ``onnxruntime``.

    Raises:
        UserError: If a package of the ONNX export is missing.
    """
    try:
        import onnx  # noqa: F401
        import onnxruntime
    except ImportError as error:
        raise UserError(
            f'the ONNX export needs {error.name}, which is not '
            f'installed: {PACKAGES}.'
        ) from error
    return onnxruntime


def _write(
    model: nn.Module, images: torch.Tensor, path: Path, opset: int, runtime
) -> float:
    """Writes a file and gives its largest difference of a logit.

    Of more than one image the file takes any number.
    """
    options = dict(
        # The tracing exporter keeps the weights in the one file.
        dynamo=False,
        opset_version=opset,
        input_names=['inputs'],
        output_names=['logits'],
    )
    # Another batch size than the one that is traced.
    batches = [images, images[:1]] if len(images) > 1 else [images]
    if len(batches) > 1:
        options['dynamic_axes'] = dict(
            inputs={0: 'batch'}, logits={0: 'batch'}
        )
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        torch.onnx.export(model, (images,), str(path), **options)
    session = runtime.InferenceSession(
        str(path), providers=['CPUExecutionProvider']
    )
    return max(_difference(model, session, batch) for batch in batches)


def _difference(model: nn.Module, session, images: torch.Tensor) -> float:
    """Largest difference of a logit, relative where logits are above 1."""
    with torch.no_grad():
        wanted = model(images)
    got = torch.from_numpy(
        session.run(['logits'], dict(inputs=images.numpy()))[0]
    )
    if got.shape != wanted.shape:
        return math.inf
    scale = wanted.abs().max().clamp(min=1)
    return float((got - wanted).abs().max() / scale)
