"""The student as an ONNX file, checked against the student itself."""

from __future__ import annotations

import copy
import math
import os
import re
import warnings
from pathlib import Path
from typing import NamedTuple, Optional, Sequence, Tuple, Union

import torch
import torch.nn as nn
from torch.onnx.errors import UnsupportedOperatorError

from ..errors import UserError
from ..utils.progress import progress

PACKAGES = "pip install 'mmkd_custom[export]'"
_OPERATOR = re.compile(r'aten::\w+')
#: Prepared images and what is said of them.
INPUT, LOGITS = 'input', 'logits'


class OnnxFile(NamedTuple):
    """What an exported file is.

    Args:
        difference (float): Largest difference of a logit from the student's,
            relative to the largest logit where that is above 1.
        batch (int, optional): The only batch size it takes; None for any.
    """

    difference: float
    batch: Optional[int]


class Logits(nn.Module):
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

    The graph takes ``input``, float32 images (N, C, H, W) that are already
    normalised, and gives ``logits`` (N, K), with any batch size N; with 1
    alone if the file would differ otherwise, as that of a Swin does, whose
    windows are counted when it is traced. The file appears only after the
    checker of onnx has passed it and ONNX Runtime gave the same logits on
    random images.

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
            the file's folder does not exist, or ONNX has no such operator as
            a layer of the student.
        RuntimeError: If ONNX Runtime gives other logits.
    """
    height, width = height_width(input_size)
    path = Path(path)
    if not path.parent.is_dir():
        raise UserError(f'onnx file {path}: expected an existing folder.')
    onnx_runtime()
    model = Logits(copy.deepcopy(student).cpu().float()).eval()
    # Not the global generator: an export must not change a run.
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(2, channels, height, width, generator=generator)
    temporary = path.with_name(f'.{path.name}.{os.getpid()}.tmp')
    try:
        for batch in (None, 1):
            try:
                difference = _write(model, images[:batch], temporary, opset)
            # Whatever torch or ONNX Runtime raise about any batch size.
            except Exception as error:
                if batch is None:
                    continue
                _name_operator(error, model, images[:1])
                raise
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


def check_file(path: Union[str, Path]) -> None:
    """Has onnx's checker look at a file, the shapes in it included."""
    import onnx

    onnx.checker.check_model(str(path), full_check=True)


def open_session(path: Union[str, Path], threads: int = 0):
    """Opens a file with ONNX Runtime on the CPU.

    Args:
        path (str | Path): The file.
        threads (int): Of one operator. Defaults to 0, ONNX Runtime's choice.

    Returns:
        onnxruntime.InferenceSession: To run it.
    """
    runtime = onnx_runtime()
    options = runtime.SessionOptions()
    options.intra_op_num_threads = threads
    return runtime.InferenceSession(
        str(path), options, providers=['CPUExecutionProvider']
    )


def _name_operator(
    error: Exception, model: nn.Module, images: torch.Tensor
) -> None:
    """Names an operator that ONNX lacks, and the layer that it is in.

    Raises:
        UserError: If that is what went wrong.
    """
    found = _OPERATOR.search(str(error))
    if not isinstance(error, UnsupportedOperatorError) or not found:
        return
    layer = '?'
    for node in torch.jit.trace(model, images).inlined_graph.nodes():
        if node.kind() == found[0]:
            scope = node.scopeName().rpartition('/')[2]
            layer = scope.removeprefix('__module.student.')
            break
    raise UserError(
        f'--onnx: expected operators that ONNX has, got {found[0]} in the '
        f"student's layer {layer}."
    ) from error


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
        axes = {INPUT: {0: 'batch'}, LOGITS: {0: 'batch'}}
    with progress('writing the ONNX file'), warnings.catch_warnings():
        warnings.simplefilter('ignore')
        torch.onnx.export(
            model,
            (images,),
            str(path),
            # The tracing exporter keeps the weights in the one file.
            dynamo=False,
            opset_version=opset,
            input_names=[INPUT],
            output_names=[LOGITS],
            dynamic_axes=axes,
        )
    check_file(path)
    session = open_session(path)
    differences = []
    with progress('checking the ONNX file', len(batches), 'batches') as bar:
        for batch in bar.track(batches):
            with torch.no_grad():
                wanted = model(batch)
            (got,) = session.run([LOGITS], {INPUT: batch.numpy()})
            if got.shape != tuple(wanted.shape):
                return math.inf
            scale = wanted.abs().max().clamp(min=1)
            differences.append(
                (torch.from_numpy(got) - wanted).abs().max() / scale
            )
    # Unlike max, it keeps what is not a number.
    return float(torch.stack(differences).max())
