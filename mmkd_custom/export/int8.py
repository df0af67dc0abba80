"""Static int8 quantisation of an ONNX file, by ONNX Runtime's tools."""

from __future__ import annotations

import logging
import tempfile
from pathlib import Path
from typing import Dict, Iterator, Optional

import numpy as np

from ..utils.progress import Bar, progress
from .images import CALIBRATION, Images, Seen
from .onnx import INPUT, check_file, onnx_runtime

_BATCH = 32
#: What is computed in int8: all that has weights, and the activations that
#: quantisation swallows. Quantisation-aware training
#: (``engine/quantization``) rounds at nearly the same places.
OPERATORS = ('Conv', 'Gemm', 'MatMul', 'Relu', 'Clip')


def quantize(
    source: Path,
    path: Path,
    images: Seen,
    batch: Optional[int] = None,
    most: int = CALIBRATION,
) -> int:
    """Writes an int8 file: QDQ, weights per channel, ranges from images.

    Weights are signed and activations unsigned, which is the pair that ONNX
    Runtime's kernels for x86 and ARM are fast with.

    Args:
        source (Path): From :func:`~.onnx.export_onnx`.
        path (Path): The file to write.
        images (Seen): Of the target; no label is read.
        batch (int, optional): How many images the source takes at once.
            Defaults to None, any number.
        most (int): How many of them are looked at. Defaults to 256.

    Returns:
        int: How many were looked at.
    """
    onnx_runtime()
    from onnxruntime import quantization
    from onnxruntime.quantization.shape_inference import quant_pre_process

    count = min(most, len(images))
    # It advises what is done here.
    level = logging.getLogger().level
    with (
        tempfile.TemporaryDirectory() as folder,
        progress('calibrating int8', count, 'images') as bar,
    ):
        shaped = Path(folder) / 'shaped.onnx'
        quant_pre_process(str(source), str(shaped), skip_symbolic_shape=True)
        logging.getLogger().setLevel(logging.ERROR)
        try:
            quantization.quantize_static(
                str(shaped),
                str(path),
                _Batches(
                    images.batches(most=count, size=batch or _BATCH), bar
                ),
                quant_format=quantization.QuantFormat.QDQ,
                op_types_to_quantize=list(OPERATORS),
                per_channel=True,
                activation_type=quantization.QuantType.QUInt8,
                weight_type=quantization.QuantType.QInt8,
                calibrate_method=quantization.CalibrationMethod.MinMax,
                # A product of two activations has no weights.
                extra_options=dict(MatMulConstBOnly=True),
            )
        finally:
            logging.getLogger().setLevel(level)
    check_file(path)
    return count


class _Batches:
    """What ONNX Runtime reads: a dict of arrays, None at the end."""

    def __init__(self, batches: Iterator[Images], bar: Bar) -> None:
        self.batches, self.bar = batches, bar

    def get_next(self) -> Optional[Dict[str, np.ndarray]]:
        batch = next(self.batches, None)
        if batch is None:
            return None
        self.bar.advance(len(batch.prepared))
        return {INPUT: batch.prepared}
