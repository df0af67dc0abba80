"""What datasets of labelled images share: a subset of few labels."""

from __future__ import annotations

from typing import Any, Iterable, Optional, Sequence

import numpy as np
from mmengine.logging import print_log
from mmpretrain.datasets import BaseDataset

from ..errors import UserError, nearest
from .images import load_sample
from .subset import digest, label_subset, rest_of


class LabelledDataset(BaseDataset):
    """A dataset of which a few labels of every class can be kept.

    Args:
        fraction (float, optional): Keep this seeded share of every class, in
            (0, 1]. Defaults to None, which keeps all.
        labels_per_class (int, optional): Keep this many seeded samples of
            every class. Defaults to None.
        complement (bool): Whether to keep what the subset leaves instead.
            Defaults to False.
        seed (int): Seed of the subset. Defaults to 0.
        **kwargs: Arguments of MMPretrain's ``BaseDataset``, such as
            ``pipeline`` and ``test_mode``.

    Attributes:
        subset_indices (np.ndarray | None): Indices of the samples kept, among
            all that there are; None without a subset.
        origin (tuple): What the samples are drawn from.
    """

    def __init__(
        self,
        *,
        fraction: Optional[float] = None,
        labels_per_class: Optional[int] = None,
        complement: bool = False,
        seed: int = 0,
        **kwargs: Any,
    ) -> None:
        self.subset_options = dict(
            fraction=fraction,
            labels_per_class=labels_per_class,
            complement=complement,
            seed=seed,
        )
        self.subset_indices: Optional[np.ndarray] = None
        super().__init__(**kwargs)

    def prepare_data(self, idx: int) -> Any:
        """Runs the pipeline on a sample; names the file if it is broken."""
        return load_sample(self.pipeline, self.get_data_info(idx))

    def keep(
        self,
        name: str,
        labels: Sequence[int],
        chosen: Optional[np.ndarray] = None,
    ) -> Sequence[int]:
        """Draws the subset, sets ``subset_indices`` and logs the draw.

        Args:
            name (str): What the log calls the samples.
            labels (Sequence[int]): The label of each, (N,).
            chosen (np.ndarray, optional): Sorted indices that a list gives
                in place of the draw. Defaults to None.

        Returns:
            Sequence[int]: Indices of the samples to keep, sorted.

        Raises:
            UserError: If the options contradict each other or the data.
        """
        options = self.subset_options
        if chosen is None:
            chosen = label_subset(labels, classes=self.CLASSES, **options)
        elif options['complement']:
            chosen = rest_of(chosen, len(labels))
        self.subset_indices = chosen
        if chosen is None:
            return range(len(labels))
        print_log(
            f'{type(self).__name__} {name}: {len(chosen)} of {len(labels)} '
            f'images kept, SHA-256 of their indices {digest(chosen)}',
            logger='current',
        )
        return chosen.tolist()


def check_choice(option: str, value: Any, known: Iterable[str]) -> None:
    """Checks an option that is one of some words.

    Raises:
        UserError: If it is none of them.
    """
    if value not in list(known):
        raise UserError(
            f'{option}: expected one of {", ".join(map(repr, known))}, got '
            f'{value!r} ({nearest(str(value), known)}).'
        )
