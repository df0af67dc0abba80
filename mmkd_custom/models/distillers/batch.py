"""One training batch as a distiller sees it."""

from __future__ import annotations

from typing import List, NamedTuple, Optional

import torch
from mmpretrain.structures import DataSample

from ..data_preprocessor import has_label


class Batch(NamedTuple):
    """One training batch as a distiller sees it.

    Attributes:
        inputs (Tensor): Images as the student wants them (B, 3, H, W).
        data_samples (list[DataSample]): B samples.
        labelled (Tensor): Positions of the samples whose label may be used,
            (B_L,) long.
        teacher_inputs (Tensor, optional): The same crops at the teacher's
            size (B, 3, H_t, W_t), normalised like ``inputs``.
        strong_inputs (Tensor, optional): A strong view of the same samples
            (B, 3, H_s, W_s), normalised like ``inputs``. Defaults to None.
    """

    inputs: torch.Tensor
    data_samples: List[DataSample]
    labelled: torch.Tensor
    teacher_inputs: Optional[torch.Tensor]
    strong_inputs: Optional[torch.Tensor] = None

    @property
    def labelled_samples(self) -> List[DataSample]:
        """list[DataSample]: The samples whose label may be used."""
        return [self.data_samples[i] for i in self.labelled.tolist()]

    @property
    def targets(self) -> torch.Tensor:
        """Tensor: Class index of each sample (B,), -1 where unlabelled."""
        targets = torch.full(
            (len(self.data_samples),), -1, device=self.labelled.device
        )
        targets[self.labelled] = hard_labels(self.labelled_samples).to(
            targets.device
        )
        return targets

    def only_labelled(self) -> Batch:
        """Gives the labelled part alone."""
        if len(self.labelled) == len(self.data_samples):
            return self
        teacher, strong = (
            None if images is None else images[self.labelled]
            for images in (self.teacher_inputs, self.strong_inputs)
        )
        return Batch(
            self.inputs[self.labelled],
            self.labelled_samples,
            torch.arange(len(self.labelled), device=self.labelled.device),
            teacher,
            strong,
        )


def make_batch(
    inputs: torch.Tensor,
    data_samples: List[DataSample],
    teacher_inputs: Optional[torch.Tensor] = None,
    strong_inputs: Optional[torch.Tensor] = None,
) -> Batch:
    """Puts preprocessed data together with where its labels are."""
    positions = [i for i, s in enumerate(data_samples) if has_label(s)]
    return Batch(
        inputs,
        data_samples,
        torch.tensor(positions, dtype=torch.long, device=inputs.device),
        teacher_inputs,
        strong_inputs,
    )


def top1(logits: torch.Tensor, samples: List[DataSample]) -> torch.Tensor:
    """Computes accuracy in percent against single labels.

    Args:
        logits (Tensor): (N, C).
        samples (list[DataSample]): N labelled samples.

    Returns:
        Tensor: Scalar in [0, 100].
    """
    labels = hard_labels(samples).to(logits.device)
    return (logits.argmax(1) == labels).float().mean() * 100


def hard_labels(samples: List[DataSample]) -> torch.Tensor:
    """Collects one class index per labelled sample, (N,) long."""
    return torch.cat(
        [
            s.gt_label if 'gt_score' not in s else s.gt_score.argmax().view(1)
            for s in samples
        ]
    )
