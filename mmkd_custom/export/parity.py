"""How far what a file says is from what the student says."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Callable, Iterable, List, Optional, Sequence

import numpy as np
import torch
import torch.nn as nn

from ..errors import UserError
from ..utils.progress import progress
from .images import Images

Ask = Callable[[Images], np.ndarray]


@dataclass
class Parity:
    """A file beside the student, over images.

    Attributes:
        images (int): How many.
        same_top1 (int): On how many both give the same class.
        difference (float): Largest difference of a logit.
        scale (float): The student's largest logit, at least 1.
        right (int, optional): On how many the file is right; None where the
            images have no labels.
        student_right (int, optional): The same of the student.
    """

    images: int = 0
    same_top1: int = 0
    difference: float = 0.0
    scale: float = 1.0
    right: Optional[int] = 0
    student_right: Optional[int] = 0

    def add(
        self, wanted: np.ndarray, got: np.ndarray, labels: np.ndarray
    ) -> None:
        """Adds a batch: logits (N, K) of both, labels (N,)."""
        mine, theirs = wanted.argmax(1), got.argmax(1)
        self.images += len(wanted)
        self.same_top1 += int((mine == theirs).sum())
        # Unlike max, it keeps what is not a number.
        gap = np.abs(wanted - got).max()
        self.difference = float(np.maximum(self.difference, gap))
        self.scale = max(self.scale, float(np.abs(wanted).max()))
        if self.right is None or (labels < 0).any():
            self.right = self.student_right = None
            return
        self.right += int((theirs == labels).sum())
        self.student_right += int((mine == labels).sum())

    @property
    def top1(self) -> Optional[float]:
        """float | None: Accuracy of the file, %."""
        return self._percent(self.right)

    @property
    def student_top1(self) -> Optional[float]:
        """float | None: Accuracy of the student, %."""
        return self._percent(self.student_right)

    def _percent(self, count: Optional[int]) -> Optional[float]:
        return None if count is None else round(100 * count / self.images, 2)

    def check(self, name: str, tolerance: float) -> None:
        """Refuses a file that is not the student.

        Args:
            name (str): Of the file.
            tolerance (float): Largest difference of a logit, relative to
                ``scale``; infinite where any number will do.

        Raises:
            UserError: If it is above that, or not a number.
        """
        most = min(tolerance * self.scale, np.finfo(np.float32).max)
        if not self.difference <= most:
            raise UserError(
                f'{name}: expected logits that differ from the student by '
                f'at most {most:.1e}, got {self.difference:.1e}.'
            )

    def facts(self) -> dict:
        """Returns what JSON keeps."""
        return dict(
            test_images=self.images,
            top1=self.top1,
            top1_of_student=self.student_top1,
            same_top1=self.same_top1,
            max_logit_difference=self.difference,
        )


@torch.no_grad()
def compare(
    model: nn.Module,
    batches: Iterable[Images],
    total: int,
    files: Sequence[Ask],
) -> List[Parity]:
    """Asks the student and files about the same images.

    Args:
        model (nn.Module): Prepared images to logits, in ``eval()``.
        batches (Iterable[Images]): Not looked at where there is no file.
        total (int): Of all images.
        files (Sequence[Callable]): What each says, logits (N, K), of a batch.

    Returns:
        list[Parity]: Of each.
    """
    found = [Parity() for _ in files]
    if not found:
        return found
    with progress('comparing with the student', total, 'images') as bar:
        for batch in batches:
            wanted = model(torch.from_numpy(batch.prepared)).numpy()
            for parity, ask in zip(found, files):
                parity.add(wanted, ask(batch), batch.labels)
            bar.advance(len(wanted))
    return found
