"""What every runtime does: write a file, and run it."""

from __future__ import annotations

import contextlib
import importlib
import os
import sys
from pathlib import Path
from typing import Callable, Iterator, Tuple

import numpy as np
import torch
import torch.nn as nn

from ...errors import UserError


class Runtime:
    """A runtime of a device, with its converter.

    Attributes:
        option (str): Of the command line, which is also the extra of this
            package that brings its packages along.
        packages (tuple[str]): Modules that are imported.
        file (str): Name of the file that is written.
        tolerance (float): Largest difference of a logit, relative to the
            student's largest where that is above 1.
        any_batch (bool): Whether it takes what the ONNX file takes, else one
            image at a time.
    """

    option: str
    packages: Tuple[str, ...]
    file: str
    tolerance: float = 1e-3
    any_batch: bool = False

    @classmethod
    def check(cls) -> None:
        """Refuses a runtime whose packages are not there.

        Raises:
            UserError: Names the first that is missing.
        """
        for name in cls.packages:
            try:
                with quiet():
                    importlib.import_module(name)
            except ImportError as error:
                raise UserError(
                    f'--{cls.option}: expected the package {name}, got none '
                    f"({error}); pip install 'mmkd_custom[{cls.option}]'."
                ) from error

    @classmethod
    def write(
        cls, model: nn.Module, images: torch.Tensor, path: Path, onnx: Path
    ) -> None:
        """Writes the file.

        Args:
            model (nn.Module): Prepared images to logits, in ``eval()``.
            images (Tensor): (1, C, H, W), of the shape that it will take.
            path (Path): The file.
            onnx (Path): The same network as ONNX, for those that convert it.
        """
        raise NotImplementedError

    @classmethod
    def open(cls, path: Path) -> Callable[[np.ndarray], np.ndarray]:
        """Opens the file: (1, C, H, W) float32 to logits (1, K)."""
        raise NotImplementedError

    @classmethod
    def files(cls, path: Path) -> Tuple[Path, ...]:
        """Returns all files that belong together."""
        return (path,)


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keeps what converters print, from C++ too, off the terminal."""
    sys.stdout.flush()
    sys.stderr.flush()
    kept = os.dup(1), os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 1)
        os.dup2(nowhere, 2)
        yield
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        for number, descriptor in enumerate(kept, 1):
            os.dup2(descriptor, number)
            os.close(descriptor)
        os.close(nowhere)
