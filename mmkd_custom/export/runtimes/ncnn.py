"""ncnn: ``.param`` with its ``.bin``, through pnnx."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Callable, Tuple

import numpy as np
import torch
import torch.nn as nn

from .base import Runtime, quiet


class Ncnn(Runtime):
    """Batches of one image."""

    option = 'ncnn'
    packages = ('ncnn', 'pnnx')
    file = 'student.ncnn.param'
    # Its kernels round earlier.
    tolerance = 5e-2

    @classmethod
    def write(
        cls, model: nn.Module, images: torch.Tensor, path: Path, onnx: Path
    ) -> None:
        """See :meth:`Runtime.write`."""
        with tempfile.TemporaryDirectory() as folder, quiet():
            import pnnx

            # It writes eight files beside the one that is named.
            traced = Path(folder) / 'student.pt'
            pnnx.export(model, str(traced), (images,), fp16=False)
            for file in cls.files(path):
                shutil.copyfile(Path(folder) / file.name, file)

    @classmethod
    def open(cls, path: Path) -> Callable[[np.ndarray], np.ndarray]:
        """See :meth:`Runtime.open`."""
        import ncnn

        net = ncnn.Net()
        net.opt.num_threads = 1
        for name in ('packed', 'storage', 'arithmetic'):
            setattr(net.opt, f'use_fp16_{name}', False)
        net.load_param(str(path))
        net.load_model(str(cls.files(path)[1]))

        def run(images: np.ndarray) -> np.ndarray:
            extractor = net.create_extractor()
            # A Mat borrows the array that it is made of.
            extractor.input('in0', ncnn.Mat(images[0]).clone())
            return np.array(extractor.extract('out0')[1])[None]

        return run

    @classmethod
    def files(cls, path: Path) -> Tuple[Path, ...]:
        """See :meth:`Runtime.files`."""
        return path, path.with_suffix('.bin')
