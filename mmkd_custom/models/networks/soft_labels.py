"""A table of logits by training sample as a network."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Optional, Sequence, Union

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from ...errors import UserError, naming_files
from ...registry import MODELS
from ..batch import Batch, send
from ..outputs import LOGITS, Outputs, Shape
from .base import OwnedNetwork


@MODELS.register_module()
class SoftLabels(OwnedNetwork):
    """The logits that a file has for each sample.

    A term such as ``('student.logits', 'labels.logits')`` distils them:
    another model's predictions, propagated labels, or those of a run before.

    Args:
        file (str | Path): What :func:`save_soft_labels` wrote.

    Raises:
        UserError: If it cannot be read, or is of other images or classes.
    """

    def __init__(self, file: Union[str, Path]) -> None:
        super().__init__()
        self.file = str(file)
        try:
            with (
                naming_files(),
                safe_open(self.file, framework='pt') as opened,
            ):
                table = opened.get_tensor(LOGITS)
                self.samples_sha256 = (opened.metadata() or {})['samples']
        except (KeyError, OSError, SafetensorError) as error:
            raise UserError(
                f'{self.file}: expected a file of save_soft_labels ({error}).'
            ) from error
        # No buffer: it stays on the host, and the file is at hand whenever a
        # run starts.
        self.table = table.float()

    def attach(self, distiller: Any) -> None:
        """Compares the numbers of classes."""
        classes = distiller.student_view.num_classes
        if self.table.ndim != 2 or self.table.shape[1] != classes:
            raise UserError(
                f'{self.file}: expected logits (N, {classes}) of the '
                f"student's classes, got {tuple(self.table.shape)}."
            )
        self.shapes = {LOGITS: Shape((classes,))}

    def check(self, dataset: Any) -> None:
        """Refuses a table of other images."""
        found = dataset.samples_sha256()
        if found != self.samples_sha256:
            raise UserError(
                f'{self.file}: expected labels of the training images '
                f'(SHA-256 {found}), got those of {self.samples_sha256}.'
            )

    def ask(
        self, batch: Batch, wants: Sequence[str], view: Optional[str] = None
    ) -> Outputs:
        """Looks the samples up by ``sample_idx``; logits (N, C)."""
        return Outputs(logits=send(self.table[rows_of(batch)], batch.device))


def rows_of(batch: Batch) -> torch.Tensor:
    """Returns the samples of a batch as rows of a table, (N,)."""
    return torch.tensor([s.metainfo['sample_idx'] for s in batch.samples])


def save_soft_labels(
    file: Union[str, Path], logits: torch.Tensor, samples_sha256: str
) -> None:
    """Writes a table for :class:`SoftLabels`.

    Args:
        file (str | Path): The file.
        logits (Tensor): (N, C), a row for each sample of the training
            dataset, in its order. Logarithms of probabilities are logits.
        samples_sha256 (str): ``samples_sha256()`` of that dataset.
    """
    table = logits.detach().cpu().float().contiguous()
    save_file({LOGITS: table}, str(file), {'samples': samples_sha256})
