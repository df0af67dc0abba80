"""What a sampler names of a dataset: a sample, its view, its images."""

from __future__ import annotations

from typing import NamedTuple, Optional, Tuple


class SampleKey(NamedTuple):
    """Names one view of one sample, and which images of it to make.

    Args:
        index (int): Index within the :class:`TwoStreamDataset`: labelled
            samples first, then unlabelled, then synthetic ones.
        view (int): Which of the sample's random augmentations.
        images (tuple[str], optional): Names of the images to make, such as
            'student', 'teacher' or 'strong'. Without any, an item is its
            label and no file is opened. Defaults to None, all that the
            dataset makes.
    """

    index: int
    view: int
    images: Optional[Tuple[str, ...]] = None
