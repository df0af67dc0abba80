"""One training batch, and what networks have said of it."""

from __future__ import annotations

from typing import Dict, List, NamedTuple, Optional, Sequence, Union

import torch
from mmpretrain.structures import DataSample

from ..errors import UserError
from ..stages import LABELLED, STREAMS, SYNTHETIC, UNLABELLED, draws
from .mixing import UnlabelledMixup
from .outputs import Outputs
from .source import Source


def has_label(sample: DataSample) -> bool:
    """Whether a sample carries a label that may be used."""
    return 'gt_label' in sample or 'gt_score' in sample


def send(values: torch.Tensor, device: torch.device) -> torch.Tensor:
    """Moves a tensor to a device; the host does not wait for it.

    From ordinary memory CUDA copies only after everything launched before,
    with the host waiting; from pinned memory the copy takes its turn.

    Args:
        values (Tensor): Of any shape, on the host or on the device.
        device (torch.device): The device.

    Returns:
        Tensor: The same values there.
    """
    if device.type == 'cuda' and values.device.type == 'cpu':
        return values.pin_memory().to(device, non_blocking=True)
    return values.to(device)


class Pixels(NamedTuple):
    """How images were normalised.

    Attributes:
        mean (Tensor, optional): Means (3,) on 0-255 pixels, in the order of
            the images' channels; None if nothing was subtracted.
        std (Tensor, optional): Standard deviations, likewise.
        to_rgb (bool): Whether the channels are R, G, B, not B, G, R.
    """

    mean: Optional[torch.Tensor] = None
    std: Optional[torch.Tensor] = None
    to_rgb: bool = True


class Batch:
    """One training batch: labelled samples first, then the others.

    Nothing here has the host wait for the device: which samples carry a label
    is read off the samples, which lie on the host.

    Args:
        samples (list[DataSample]): B samples: labelled, unlabelled, synthetic
            ones, in this order.
        views (dict[str, Tensor]): Normalised images (B, 3, H, W) by view.
        pixels (Pixels): How they were normalised. Defaults to not at all.
        device (torch.device, optional): Where the batch lies. Defaults to
            that of its images.

    Attributes:
        outputs (dict[str, Outputs]): What networks have said, by
            ``who[@view]``.
        mixup (UnlabelledMixup, optional): How the images are mixed that the
            student sees.

    Raises:
        ValueError: If the samples come in another order.
    """

    def __init__(
        self,
        samples: List[DataSample],
        views: Dict[str, torch.Tensor],
        pixels: Pixels = Pixels(),
        device: Union[torch.device, str, None] = None,
    ) -> None:
        if device is None:
            device = next(iter(views.values())).device
        self.samples = samples
        self.views = views
        self.pixels = pixels
        self.device = torch.device(device)
        self.outputs: Dict[str, Outputs] = {}
        self.mixup: Optional[UnlabelledMixup] = None
        streams = [STREAMS.index(stream_of(sample)) for sample in samples]
        if streams != sorted(streams):
            raise ValueError(
                'expected labelled, unlabelled, then synthetic samples, got '
                f'{streams}.'
            )
        self._ends = [sum(s <= i for s in streams) for i in range(3)]
        self._targets: Optional[torch.Tensor] = None

    def __len__(self) -> int:
        return len(self.samples)

    @property
    def labelled(self) -> slice:
        """slice: The samples whose label may be used."""
        return slice(0, self._ends[0])

    @property
    def unlabelled(self) -> slice:
        """slice: The unlabelled samples, without synthetic ones."""
        return slice(self._ends[0], self._ends[1])

    @property
    def synthetic(self) -> slice:
        """slice: The synthetic samples."""
        return slice(self._ends[1], self._ends[2])

    def rows(self, streams: Union[str, Sequence[str]]) -> slice:
        """Returns the samples of some streams.

        Args:
            streams (str): 'all', 'labelled', 'unlabelled' (synthetic images
                are among them) or 'synthetic'.

        Returns:
            slice: Into the batch.
        """
        if streams == 'all':
            return slice(0, len(self))
        starts = [0, *self._ends[:2]]
        drawn = [i for i, s in enumerate(STREAMS) if draws((streams,), s)]
        return slice(starts[drawn[0]], self._ends[drawn[-1]])

    @property
    def targets(self) -> torch.Tensor:
        """Tensor: Class index of each sample (B,), -1 without a label."""
        if self._targets is None:
            labels = torch.full((len(self),), -1)
            if self._ends[0]:
                found = hard_labels(self.samples[self.labelled])
                rest = labels[self._ends[0] :]
                labels = torch.cat([found, send(rest, found.device)])
            self._targets = send(labels, self.device)
        return self._targets

    @property
    def scores(self) -> Optional[torch.Tensor]:
        """Tensor: Score of each class (B, C), 0 without a label; or None."""
        labelled = self.samples[self.labelled]
        if not labelled or not all('gt_score' in s for s in labelled):
            return None
        scores = torch.stack([sample.gt_score for sample in labelled])
        rest = scores.new_zeros(len(self) - len(scores), scores.shape[1])
        return send(torch.cat([scores, rest]), self.device)

    @property
    def stream(self) -> torch.Tensor:
        """Tensor: Index of each sample's stream (B,): 0, 1 or 2."""
        counts = torch.tensor([0, *self._ends]).diff()
        return send(torch.arange(3).repeat_interleave(counts), self.device)

    def image(self, view: str) -> torch.Tensor:
        """Returns the images of a view.

        Args:
            view (str): Its name.

        Returns:
            Tensor: (B, 3, H, W).

        Raises:
            UserError: If the dataset does not make it.
        """
        if view not in self.views:
            raise UserError(
                f'view {view!r}: expected one that the dataset makes '
                f'({", ".join(self.views) or "none"}); add it to pipelines '
                'of the TwoStreamDataset.'
            )
        return self.views[view]

    def get(self, source: Union[str, Source]) -> torch.Tensor:
        """Returns what a network has said.

        Args:
            source (str | Source): The place; ``batch.stream`` and
                ``batch.targets`` are the batch's own, the latter as
                :attr:`scores` where batch augmentations made some.

        Returns:
            Tensor: With B first.
        """
        source = Source.parse(source) if isinstance(source, str) else source
        if source.network == 'batch':
            if source.output == 'stream':
                return self.stream
            scores = self.scores
            return self.targets if scores is None else scores
        return self.outputs[source.asked].get(source.output)


def stream_of(sample: DataSample) -> str:
    """Returns the stream of a sample; a label makes it a labelled one."""
    if has_label(sample):
        return LABELLED
    stream = sample.metainfo.get('stream', UNLABELLED)
    return SYNTHETIC if stream == SYNTHETIC else UNLABELLED


def top1(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Computes accuracy in percent.

    Args:
        logits (Tensor): (N, C).
        targets (Tensor): Class indices (N,).

    Returns:
        Tensor: Scalar in [0, 100].
    """
    return (logits.argmax(1) == targets).float().mean() * 100


def hard_labels(samples: Sequence[DataSample]) -> torch.Tensor:
    """Collects one class index per labelled sample, (N,) long."""
    scores = [s.gt_score for s in samples if 'gt_score' in s]
    # One argmax for all: one per sample would be one kernel per sample.
    soft = iter(torch.stack(scores).argmax(1).split(1) if scores else ())
    return torch.cat(
        [next(soft) if 'gt_score' in s else s.gt_label for s in samples]
    )


def send_labels(samples: List[DataSample], device: torch.device) -> None:
    """Moves labels in one copy each, unless they are there.

    Args:
        samples (list[DataSample]): Some of which may carry a label.
        device (torch.device): The device.
    """
    hard = [s for s in samples if 'gt_label' in s]
    if hard and hard[0].gt_label.device != device:
        labels = send(torch.cat([s.gt_label for s in hard]), device)
        parts = labels.split([len(s.gt_label) for s in hard])
        for sample, label in zip(hard, parts):
            sample.set_gt_label(label)
    soft = [s for s in samples if 'gt_score' in s]
    if soft and soft[0].gt_score.device != device:
        scores = send(torch.stack([s.gt_score for s in soft]), device)
        for sample, score in zip(soft, scores.unbind()):
            sample.set_gt_score(score)
