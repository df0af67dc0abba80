"""A second student that learns beside the first."""

from __future__ import annotations

from typing import Any, Union

import torch.nn as nn

from ...registry import MODELS
from .classifier import OwnedClassifier


@MODELS.register_module()
class Peer(OwnedClassifier):
    """Another classifier, trained with the student and from it.

    Mutual learning (arXiv 1706.00384), of a CNN and a transformer too: both
    learn from labels and from each other, by terms such as

    .. code:: python

        networks=dict(peer=dict(type='Peer', model=dict(...))),
        terms=dict(
            peer_ce=dict(loss=dict(type='CrossEntropy'), streams='labelled',
                         on=('peer.logits', 'batch.targets')),
            kd=dict(loss=dict(type='KLDivergence'),
                    on=('student.logits', 'peer.logits')),
            peer_kd=dict(loss=dict(type='KLDivergence'),
                         on=('peer.logits', 'student.logits')))

    It sees the student's images, as the student's normalisation has them, and
    offers what a student offers. It is trained by the student's optimiser and
    left behind at export.

    Args:
        model (dict | nn.Module): Any MMPretrain classifier of as many
            classes.

    Raises:
        UserError: If it is none.
    """

    sees_mixed = True

    def __init__(self, model: Union[dict, nn.Module]) -> None:
        super().__init__()
        # A module that is set would be a child, and saved twice.
        self._given = (model,)

    def attach(self, distiller: Any) -> None:
        """Builds the classifier."""
        self.build(*self._given, distiller)
