"""LiteRT, formerly TensorFlow Lite: ``.tflite``."""

from __future__ import annotations

from pathlib import Path
from typing import Callable

import numpy as np
import torch
import torch.nn as nn

from .base import Runtime, quiet


class LiteRT(Runtime):
    """Batches of one image."""

    option = 'litert'
    packages = ('litert_torch', 'ai_edge_litert.interpreter')
    file = 'student.tflite'

    @classmethod
    def write(
        cls, model: nn.Module, images: torch.Tensor, path: Path, onnx: Path
    ) -> None:
        """See :meth:`Runtime.write`."""
        with quiet():
            import litert_torch

            litert_torch.convert(model, (images,)).export(str(path))

    @classmethod
    def open(cls, path: Path) -> Callable[[np.ndarray], np.ndarray]:
        """See :meth:`Runtime.open`."""
        from ai_edge_litert.interpreter import Interpreter

        with quiet():
            interpreter = Interpreter(str(path), num_threads=1)
            interpreter.allocate_tensors()
        (given,) = interpreter.get_input_details()
        (said,) = interpreter.get_output_details()

        def run(images: np.ndarray) -> np.ndarray:
            interpreter.set_tensor(given['index'], images)
            interpreter.invoke()
            return interpreter.get_tensor(said['index']).copy()

        return run
