"""Which images of a batch need not be made, because of a teacher's cache."""

from __future__ import annotations

from typing import Callable, List, Optional

import torch

from ..datasets import CachedKey, SampleKey
from ..models.distillers import BaseDistiller
from .store import FeatureStore
from .teacher import CachedTeacher


def cache_of(model: BaseDistiller) -> Optional[FeatureStore]:
    """Gives the open cache that holds what a distiller asks for.

    Args:
        model (BaseDistiller): Any.

    Returns:
        FeatureStore: None if there is no such cache.
    """
    if not isinstance(model.teacher, CachedTeacher):
        return None
    store = model.teacher.store
    if store is None or not set(model.teacher_wants) <= set(store.shapes):
        return None
    return store


def marker(
    store: FeatureStore, wants_image: Callable[[], bool]
) -> Callable[[List[SampleKey]], List[tuple]]:
    """Makes what tells workers which images need not be made.

    Args:
        store (FeatureStore): An open cache.
        wants_image (Callable): Says whether the student looks at the images
            of the current epoch.

    Returns:
        Callable: Gives the keys of a batch as they are, or, if all its
        entries are there, as :class:`~mmkd_custom.datasets.CachedKey`.
    """

    def mark(keys: List[SampleKey]) -> List[tuple]:
        samples, views = torch.tensor(keys).unbind(1)
        if not store.present(samples, views).all():
            return keys
        image = wants_image()
        return [CachedKey(index, view, image) for index, view in keys]

    return mark
