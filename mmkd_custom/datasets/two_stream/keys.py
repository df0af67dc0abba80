"""What a sampler names of a dataset: samples, and what of them is wanted."""

from __future__ import annotations

from typing import NamedTuple


class SampleKey(NamedTuple):
    """Names one view of one sample.

    Args:
        index (int): Index within the :class:`TwoStreamDataset`: labelled
            samples first, then unlabelled, then synthetic ones.
        view (int): Which of the sample's random augmentations.
    """

    index: int
    view: int


class CachedKey(NamedTuple):
    """Names one view of one sample that the teacher need not see again.

    Args:
        index (int): As of a :class:`SampleKey`.
        view (int): Likewise.
        image (bool): Whether anybody else looks at the image. Without it, an
            item is its label, and no file is opened.
    """

    index: int
    view: int
    image: bool
