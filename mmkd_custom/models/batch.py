"""One training batch as a distiller sees it."""

from __future__ import annotations

from typing import List, NamedTuple, Optional, Union

import torch
from mmpretrain.structures import DataSample

from .data_preprocessor import has_label, send


class Batch(NamedTuple):
    """One training batch as a distiller sees it.

    Nothing here has the host wait for the device: which samples carry a label
    is read off the samples, which lie on the host.

    Attributes:
        inputs (Tensor, optional): Images as the student wants them
            (B, 3, H, W); None where no network looks at any.
        data_samples (list[DataSample]): B samples.
        labelled (Tensor): Positions of the samples whose label may be used,
            (B_L,) long, on the device of the batch.
        teacher_inputs (Tensor, optional): The same crops at the teacher's
            size (B, 3, H_t, W_t), normalised like ``inputs``.
        strong_inputs (Tensor, optional): A strong view of the same samples
            (B, 3, H_s, W_s), normalised like ``inputs``. Defaults to None.
    """

    inputs: Optional[torch.Tensor]
    data_samples: List[DataSample]
    labelled: torch.Tensor
    teacher_inputs: Optional[torch.Tensor]
    strong_inputs: Optional[torch.Tensor] = None

    @property
    def device(self) -> torch.device:
        """torch.device: Where the batch lies, with images or without."""
        return self.labelled.device

    @property
    def labelled_samples(self) -> List[DataSample]:
        """list[DataSample]: The samples whose label may be used."""
        return [s for s in self.data_samples if has_label(s)]

    @property
    def unlabelled(self) -> torch.Tensor:
        """Tensor: Positions of the other samples, (B - B_L,) long."""
        return _positions(self.data_samples, False, self.device)

    @property
    def targets(self) -> torch.Tensor:
        """Tensor: Class index of each sample (B,), -1 where unlabelled."""
        targets = torch.full((len(self.data_samples),), -1, device=self.device)
        labels = hard_labels(self.labelled_samples)
        targets[self.labelled] = send(labels, self.device)
        return targets

    def only_labelled(self) -> Batch:
        """Gives the labelled part alone."""
        if len(self.labelled) == len(self.data_samples):
            return self
        inputs, teacher, strong = (
            None if images is None else images[self.labelled]
            for images in (
                self.inputs,
                self.teacher_inputs,
                self.strong_inputs,
            )
        )
        return Batch(
            inputs,
            self.labelled_samples,
            torch.arange(len(self.labelled), device=self.device),
            teacher,
            strong,
        )


def make_batch(
    inputs: Optional[torch.Tensor],
    data_samples: List[DataSample],
    teacher_inputs: Optional[torch.Tensor] = None,
    strong_inputs: Optional[torch.Tensor] = None,
    device: Union[torch.device, str, None] = None,
) -> Batch:
    """Puts preprocessed data together with where its labels are.

    Args:
        inputs (Tensor, optional): Images (B, 3, H, W), or None for a batch
            without any.
        data_samples (list[DataSample]): B samples.
        teacher_inputs (Tensor, optional): See :class:`Batch`. Defaults to
            None.
        strong_inputs (Tensor, optional): See :class:`Batch`. Defaults to
            None.
        device (torch.device | str, optional): Where the batch lies. Defaults
            to the device of ``inputs``.

    Returns:
        Batch: The batch.

    Raises:
        ValueError: If neither ``inputs`` nor ``device`` is given.
    """
    if device is None:
        if inputs is None:
            raise ValueError('a batch without inputs wants a device.')
        device = inputs.device
    return Batch(
        inputs,
        data_samples,
        _positions(data_samples, True, torch.device(device)),
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
    labels = send(hard_labels(samples), logits.device)
    return (logits.argmax(1) == labels).float().mean() * 100


def hard_labels(samples: List[DataSample]) -> torch.Tensor:
    """Collects one class index per labelled sample, (N,) long."""
    scores = [s.gt_score for s in samples if 'gt_score' in s]
    # One argmax for all: one per sample would be one kernel per sample.
    soft = iter(torch.stack(scores).argmax(1).split(1) if scores else ())
    return torch.cat(
        [next(soft) if 'gt_score' in s else s.gt_label for s in samples]
    )


def _positions(
    samples: List[DataSample], labelled: bool, device: torch.device
) -> torch.Tensor:
    """Gives where samples with, or without, a label are, (n,) long."""
    found = [i for i, s in enumerate(samples) if has_label(s) == labelled]
    return send(torch.tensor(found, dtype=torch.long), device)
