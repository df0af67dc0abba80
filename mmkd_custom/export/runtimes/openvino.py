"""OpenVINO: ``.xml`` with its ``.bin``, of the ONNX file."""

from __future__ import annotations

from pathlib import Path
from typing import Callable, Tuple

import numpy as np
import torch
import torch.nn as nn

from .base import Runtime


class OpenVINO(Runtime):
    """Whatever batches the ONNX file takes."""

    option = 'openvino'
    packages = ('openvino',)
    file = 'student.xml'
    any_batch = True

    @classmethod
    def write(
        cls, model: nn.Module, images: torch.Tensor, path: Path, onnx: Path
    ) -> None:
        """See :meth:`Runtime.write`."""
        import openvino

        converted = openvino.convert_model(str(onnx))
        openvino.save_model(converted, str(path), compress_to_fp16=False)

    @classmethod
    def open(cls, path: Path) -> Callable[[np.ndarray], np.ndarray]:
        """See :meth:`Runtime.open`."""
        import openvino

        # On CPUs that have bfloat16 it computes in that unless it is told.
        options = dict(
            INFERENCE_PRECISION_HINT='f32', INFERENCE_NUM_THREADS='1'
        )
        model = openvino.Core().compile_model(str(path), 'CPU', options)
        return lambda images: model(images)[0]

    @classmethod
    def files(cls, path: Path) -> Tuple[Path, ...]:
        """See :meth:`Runtime.files`."""
        return path, path.with_suffix('.bin')
