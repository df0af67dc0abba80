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
from ..utils.progress import progress

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
    """A classifier with the signature that ONNX has: images to logits."""

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
        raise UserError(f'onnx file {path}: expected an existing folder.')
    onnx_runtime()
    model = _Logits(copy.deepcopy(student).cpu().float()).eval()
    # Not the global generator: an export must not change a run.
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(2, channels, height, width, generator=generator)
    temporary = path.with_name(f'.{path.name}.{os.getpid()}.tmp')
    try:
        for batch in (None, 1):
            try:
                difference = _write(model, images[:batch], temporary, opset)
            # Whatever torch or ONNX Runtime raise about any batch size.
            except Exception:
                if batch is not None:
                    raise
                continue
            if difference <= tolerance:
                break
        else:
            raise RuntimeError(
                f'onnx file {path}: expected ONNX Runtime to differ from the '
                f'student by at most {tolerance:.0e}, got {difference:.2e}.'
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
            '--input-size: expected one positive side, or height and width, '
            f'in pixels, got {input_size!r}.'
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
            f'the ONNX export: expected {error.name}, got none; {PACKAGES}.'
        ) from error
    return onnxruntime


def _write(
    model: nn.Module, images: torch.Tensor, path: Path, opset: int
) -> float:
    """Writes a file and returns its largest difference of a logit.

    It is relative where logits are above 1. Of more than one image the file
    takes any number.
    """
    batches, axes = [images], None
    if len(images) > 1:
        # Another batch size than the one that is traced.
        batches.append(images[:1])
        axes = dict(inputs={0: 'batch'}, logits={0: 'batch'})
    with progress('writing the ONNX file'), warnings.catch_warnings():
        warnings.simplefilter('ignore')
        torch.onnx.export(
            model,
            (images,),
            str(path),
            # The tracing exporter keeps the weights in the one file.
            dynamo=False,
            opset_version=opset,
            input_names=['inputs'],
            output_names=['logits'],
            dynamic_axes=axes,
        )
    session = onnx_runtime().InferenceSession(
        str(path), providers=['CPUExecutionProvider']
    )
    differences = []
    with progress('checking the ONNX file', len(batches), 'batches') as bar:
        for batch in bar.track(batches):
            with torch.no_grad():
                wanted = model(batch)
            (got,) = session.run(['logits'], dict(inputs=batch.numpy()))
            if got.shape != tuple(wanted.shape):
                return math.inf
            scale = wanted.abs().max().clamp(min=1)
            differences.append(
                (torch.from_numpy(got) - wanted).abs().max() / scale
            )
    return float(max(differences))
