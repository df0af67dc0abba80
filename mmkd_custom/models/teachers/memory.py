"""Teacher outputs of every fixed view, computed once and kept in memory."""

from __future__ import annotations

from typing import List, Optional

import torch
from mmpretrain.structures import DataSample

from ...errors import UserError
from .output import TeacherOutput


class TeacherMemory:
    """Outputs of a frozen teacher by (sample, view).

    With seeded views of which there are K, an output is a pure function of
    (sample, view) (DESIGN decision 7), so one pass over n K views replaces
    the teacher in every later epoch.

    Args:
        samples (int): Number of samples n.
        views (int): Number of views K of each.
        feature_dim (int, optional): Width D of the feature; None keeps none.
        num_classes (int, optional): Number of classes C; None keeps no
            logits. Defaults to None.

    Attributes:
        feature (Tensor, optional): float32 (n, K, D).
        logits (Tensor, optional): float32 (n, K, C).
    """

    def __init__(
        self,
        samples: int,
        views: int,
        feature_dim: Optional[int],
        num_classes: Optional[int] = None,
    ) -> None:
        self.samples = samples
        self.views = views
        # All at once: a rank without a share must join in the sum over ranks.
        self.feature, self.logits = (
            None if width is None else torch.zeros(samples, views, width)
            for width in (feature_dim, num_classes)
        )

    def write(self, samples: List[DataSample], output: TeacherOutput) -> None:
        """Keeps the outputs of a batch.

        Args:
            samples (list[DataSample]): B samples with ``sample_idx`` and
                ``view`` in their metainfo.
            output (TeacherOutput): Of these samples.
        """
        index, view = self._keys(samples)
        for name in ('feature', 'logits'):
            kept = getattr(self, name)
            if kept is not None:
                kept[index, view] = getattr(output, name).cpu()

    def read(
        self, samples: List[DataSample], device: torch.device
    ) -> TeacherOutput:
        """Gives the outputs of a batch.

        Args:
            samples (list[DataSample]): B samples, as in :meth:`write`.
            device (torch.device): Where the outputs are wanted.

        Returns:
            TeacherOutput: Feature (B, D) and logits (B, C), as far as they
            were written.
        """
        index, view = self._keys(samples)
        kept = TeacherOutput(self.feature, self.logits)
        return kept.map(lambda values: values[index, view].to(device))

    def _keys(self, samples: List[DataSample]) -> tuple:
        try:
            keys = torch.tensor(
                [
                    (s.metainfo['sample_idx'], s.metainfo['view'])
                    for s in samples
                ]
            )
        except KeyError as error:
            raise UserError(
                f'a sample has no {error.args[0]} in its metainfo, but the '
                "teacher's memory wants samples of a TwoStreamDataset."
            ) from error
        if int(keys[:, 1].max()) >= self.views:
            raise UserError(
                f'view {int(keys[:, 1].max())} was drawn, but the teacher '
                f'remembers {self.views}; num_views of the sampler must not '
                'change during a run.'
            )
        return keys[:, 0], keys[:, 1]
