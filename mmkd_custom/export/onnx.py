"""The student as an ONNX file, checked against the student itself."""

from __future__ import annotations

import copy
import os
import warnings
from pathlib import Path
from typing import Sequence, Tuple, Union

import torch
import torch.nn as nn

from ..errors import UserError

PACKAGES = "pip install 'mmkd_custom[export]'"


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
) -> float:
    """Exports a classifier and compares the file with it.

    The graph takes ``inputs``, float32 images (N, 3, H, W) that are already
    normalised, with any batch size N, and gives ``logits`` (N, C). The file
    appears only after ONNX Runtime gave the same logits on random images.

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

    Returns:
        float: The largest difference found, on the same scale.

    Raises:
        UserError: If the ONNX packages are missing, the size is not positive,
            or the file's folder does not exist.
        RuntimeError: If ONNX Runtime gives other logits.
    """
    height, width = _height_width(input_size)
    path = Path(path)
    if not path.parent.is_dir():
        raise UserError(f'onnx file {path}: its folder does not exist.')
    runtime = _onnxruntime()
    model = _Logits(copy.deepcopy(student).cpu().float()).eval()
    # Not the global generator: an export must not change a run.
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(2, 3, height, width, generator=generator)
    temporary = path.with_name(f'.{path.name}.{os.getpid()}.tmp')
    try:
        _write(model, images, temporary, opset)
        session = runtime.InferenceSession(
            str(temporary), providers=['CPUExecutionProvider']
        )
        difference = max(
            _difference(model, session, images),
            # Another batch size than the one that was traced.
            _difference(model, session, images[:1]),
        )
        if not difference <= tolerance:
            raise RuntimeError(
                f'onnx file {path}: ONNX Runtime differs from the student by '
                f'{difference:.2e}, but at most {tolerance:.0e} is wanted.'
            )
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    return difference


def _height_width(input_size: Union[int, Sequence[int]]) -> Tuple[int, int]:
    sides = (
        (input_size,) * 2 if isinstance(input_size, int) else tuple(input_size)
    )
    if len(sides) != 2 or min(sides) < 1:
        raise UserError(
            f'input_size={input_size!r}: one positive side, or height and '
            'width, in pixels is wanted.'
        )
    return sides


def _onnxruntime():
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
    model: nn.Module, images: torch.Tensor, path: Path, opset: int
) -> None:
    options = dict(
        # The tracing exporter keeps the weights in the one file.
        dynamo=False,
        opset_version=opset,
        input_names=['inputs'],
        output_names=['logits'],
        dynamic_axes=dict(inputs={0: 'batch'}, logits={0: 'batch'}),
    )
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        torch.onnx.export(model, (images,), str(path), **options)


def _difference(model: nn.Module, session, images: torch.Tensor) -> float:
    """Largest difference of a logit, relative where logits are above 1."""
    with torch.no_grad():
        wanted = model(images)
    got = torch.from_numpy(
        session.run(['logits'], dict(inputs=images.numpy()))[0]
    )
    scale = wanted.abs().max().clamp(min=1)
    return float((got - wanted).abs().max() / scale)
