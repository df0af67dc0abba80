"""ExecuTorch: ``.pte``, with XNNPACK's kernels."""

from __future__ import annotations

from pathlib import Path
from typing import Callable

import numpy as np
import torch
import torch.nn as nn

from .base import Runtime, quiet


class ExecuTorch(Runtime):
    """Batches of one image, on CPUs through XNNPACK."""

    option = 'executorch'
    packages = ('executorch.exir', 'executorch.runtime')
    file = 'student.pte'

    @classmethod
    def write(
        cls, model: nn.Module, images: torch.Tensor, path: Path, onnx: Path
    ) -> None:
        """See :meth:`Runtime.write`."""
        with quiet():
            from executorch.backends.xnnpack.partition import (
                xnnpack_partitioner,
            )
            from executorch.exir import to_edge_transform_and_lower

            program = to_edge_transform_and_lower(
                torch.export.export(model, (images,)),
                partitioner=[xnnpack_partitioner.XnnpackPartitioner()],
            ).to_executorch()
        path.write_bytes(program.buffer)

    @classmethod
    def open(cls, path: Path) -> Callable[[np.ndarray], np.ndarray]:
        """See :meth:`Runtime.open`."""
        with quiet():
            from executorch.runtime import Runtime as Reader

            program = Reader.get().load_program(str(path))
            method = program.load_method('forward')

        def run(images: np.ndarray) -> np.ndarray:
            # The program lives as long as its method.
            assert program is not None
            return method.execute([torch.from_numpy(images)])[0].numpy()

        with quiet():
            # The first run reports on the CPU.
            run(np.zeros(_shape(method), np.float32))
        return run


def _shape(method) -> tuple:
    return tuple(method.metadata.input_tensor_meta(0).sizes())
