"""Mixing images: every view of a batch alike, or images and targets."""

from __future__ import annotations

import math
from contextlib import contextmanager
from typing import Any, Dict, Iterator, List, Mapping, Optional, Tuple, Union

import numpy as np
import torch
from mmpretrain.models.utils.batch_augments import (
    CutMix,
    Mixup,
    RandomBatchAugment,
)

from ..errors import UserError
from ..stages import STUDENT
from .outputs import LOG_DOMAIN, Outputs, from_named


def mix_alike(
    augments: RandomBatchAugment,
    views: List[torch.Tensor],
    scores: torch.Tensor,
) -> Tuple[List[torch.Tensor], torch.Tensor]:
    """Mixes views of the same samples with one draw.

    Partners and ratio are the same in each view, and so are the boxes of
    CutMix and ResizeMix, scaled to the size of the view.

    Args:
        augments (RandomBatchAugment): MMPretrain's choice of augmentations.
        views (list[Tensor]): Images (N, C, H, W) each, in sizes of their own.
        scores (Tensor): Labels as scores (N, num_classes).

    Returns:
        tuple[list[Tensor], Tensor]: The mixed views, which may share memory
        with those given, and the mixed scores.

    Raises:
        UserError: If an augmentation is unknown and the sizes differ.
    """
    first = views[0].shape[-2:]
    unknown = [
        type(augment).__name__
        for augment in augments.augments
        if not (augment is None or type(augment) is Mixup)
        and not isinstance(augment, CutMix)
    ]
    if unknown and any(view.shape[-2:] != first for view in views):
        raise UserError(
            f'train_cfg.augments: expected Mixup, CutMix or ResizeMix where '
            f'views differ in size, got {unknown[0]}.'
        )
    start = np.random.get_state(), torch.get_rng_state()
    with _box(augments, None) as box:
        mixed, mixed_scores = augments(views[0], scores)
    end = np.random.get_state(), torch.get_rng_state()
    result = [mixed]
    for view in views[1:]:
        _set_states(*start)
        with _box(augments, box):
            result.append(augments(view, scores)[0])
    _set_states(*end)
    return result, mixed_scores


@contextmanager
def _box(augments: RandomBatchAugment, given: Optional[dict]) -> Iterator[Any]:
    """Notes the box that is drawn; or has one that was noted take its place.

    A box is drawn in pixels, so from one random state views of other sizes
    would get other boxes.
    """
    noted: dict = {}

    def draw(augment: CutMix):
        original = type(augment).cutmix_bbox_and_lam

        def drawn(shape, lam, count=None):
            if given is None:
                box, lam = original(augment, shape, lam, count)
                noted.update(shape=shape, box=box, lam=lam)
                return box, lam
            (y1, y2), (x1, x2) = (
                _scaled(given['box'][i : i + 2], given['shape'][i // 2], side)
                for i, side in ((0, shape[0]), (2, shape[1]))
            )
            return (y1, y2, x1, x2), given['lam']

        return drawn

    boxed = [a for a in augments.augments if isinstance(a, CutMix)]
    for augment in boxed:
        augment.cutmix_bbox_and_lam = draw(augment)
    try:
        yield noted
    finally:
        for augment in boxed:
            del augment.cutmix_bbox_and_lam


def _scaled(edges: Tuple[int, int], side: int, wanted: int) -> Tuple[int, int]:
    """Scales two edges of a box; one that holds pixels keeps at least one."""
    low, high = (round(int(edge) * wanted / side) for edge in edges)
    if low == high and edges[0] < edges[1]:
        low = min(low, wanted - 1)
        high = low + 1
    return low, high


def _set_states(numpy_state: Any, torch_state: torch.Tensor) -> None:
    np.random.set_state(numpy_state)
    torch.set_rng_state(torch_state)


class UnlabelledMixup:
    r"""One draw of Mixup among a batch's unlabelled images.

    The student sees :math:`\lambda x_i + (1 - \lambda) x_j` in place of
    :math:`x_i`; what other networks say of both, of the images as they are,
    is mixed alike: exact for soft labels, approximate for features (Beyer et
    al., "Knowledge distillation: a good teacher is patient and consistent",
    arXiv 2106.05237, has the teacher see the mixture, which no cache can
    hold). Labelled images stay what they are.

    Args:
        rows (slice): The unlabelled samples of the batch.
        count (int): Samples of the batch.
        alpha (float): Of the Beta(alpha, alpha) that the ratio is drawn from.
        device (torch.device | str): Where the batch lies. Defaults to 'cpu'.

    Attributes:
        ratio (float): :math:`\lambda`.
        partners (Tensor): Row j for each row i (B,).
    """

    def __init__(
        self,
        rows: slice,
        count: int,
        alpha: float,
        device: Union[torch.device, str] = 'cpu',
    ) -> None:
        # On the host, whose state EpochSeedHook sets.
        beta = torch.distributions.Beta(torch.tensor(alpha), alpha)
        self.ratio = float(beta.sample())
        start, stop, _ = rows.indices(count)
        partners = torch.arange(count)
        partners[rows] = start + torch.randperm(stop - start)
        # Once a step, and not for each tensor that is mixed.
        self.partners = partners.to(device)

    def mix(self, values: torch.Tensor) -> torch.Tensor:
        """Mixes rows (B, ...) linearly; a row without partner stays."""
        return values[self.partners].lerp(values, self.ratio)

    def mix_targets(
        self, outputs: Dict[str, Outputs], networks: Mapping[str, Any]
    ) -> None:
        """Mixes what all but the student have said, in place.

        Args:
            outputs (dict[str, Outputs]): By ``who[@view]``.
            networks (Mapping[str, OwnedNetwork]): The distiller's own, each
                behind those that it needs. One that needs what was said of
                mixed images has mixed the rest itself.
        """
        seen = {STUDENT}
        for name, network in networks.items():
            needed = {source.network for source in network.of}
            if network.sees_mixed or needed & seen:
                seen.add(name)
        for who, said in outputs.items():
            if who.partition('@')[0] not in seen:
                outputs[who] = self.mix_outputs(said)

    def mix_outputs(self, said: Outputs) -> Outputs:
        """Mixes all that a network has said; logits as probabilities.

        Mixed logits are the logarithms of probabilities.
        """
        named = {
            name: self._mix_logits(value)
            if name in LOG_DOMAIN
            else self.mix(value)
            for name, value in said.named_tensors().items()
        }
        return from_named(named, said.grid)

    def _mix_logits(self, logits: torch.Tensor) -> torch.Tensor:
        logs = logits.float().log_softmax(1)
        # Not by way of probabilities, of which small ones become 0.
        mixed = torch.logaddexp(
            logs + math.log(max(self.ratio, 1e-30)),
            logs[self.partners] + math.log(max(1 - self.ratio, 1e-30)),
        )
        rows = torch.arange(len(logits), device=logits.device)
        alone = (self.partners == rows)[:, None]
        return torch.where(alone, logits.float(), mixed)
