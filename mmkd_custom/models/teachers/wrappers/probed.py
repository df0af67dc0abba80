"""A linear probe of a teacher's feature, its file and its teacher."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any, ClassVar, Dict, Optional, Sequence, Union

import torch
import torch.nn.functional as F

from ....errors import UserError
from ....registry import MODELS
from ...outputs import LOGITS, Outputs
from ..base import FrozenTeacher
from .base import WrappedTeacher, build_wrapped, for_head
from .files import HeadFile

NONE, L2, STANDARDIZE = 'none', 'l2', 'standardize'

#: What can be done to a feature before the linear layer.
NORMALIZATIONS = (NONE, L2, STANDARDIZE)


@dataclass
class Probe(HeadFile):
    """A linear layer on a teacher's feature, and how it came about.

    Its ``tensors`` are ``weight`` (C, D), ``bias`` (C,) and, with
    'standardize', ``mean`` and ``std`` (D,) of the feature.

    Attributes:
        normalization (str): 'none', 'l2' or 'standardize'; see
            :func:`normalize`.
        c (float): Inverse strength of the L2 regularisation. Defaults to 1.
    """

    normalization: str = NONE
    c: float = 1.0

    kind: ClassVar[str] = 'probe'
    tool: ClassVar[str] = 'tools/probe_teacher.py'

    def facts(self) -> Dict[str, Any]:
        """Returns all but the tensors, as the file holds it."""
        width = self.tensors[self.head].shape[1]
        return dict(super().facts(), feature_dim=width)


def normalize(
    feature: torch.Tensor,
    normalization: str,
    mean: Optional[torch.Tensor] = None,
    std: Optional[torch.Tensor] = None,
) -> torch.Tensor:
    """Returns a feature as the linear layer expects it.

    Args:
        feature (Tensor): (N, D).
        normalization (str): 'none': f; 'l2': f / |f|; 'standardize':
            (f - mean) / std.
        mean (Tensor, optional): (D,), for 'standardize'. Defaults to None.
        std (Tensor, optional): (D,), likewise. Defaults to None.

    Raises:
        UserError: If there is no such normalisation.
    """
    if normalization == NONE:
        return feature
    if normalization == L2:
        return F.normalize(feature)
    if normalization == STANDARDIZE:
        return (feature - mean) / std
    raise UserError(
        f'normalization: expected one of {", ".join(NORMALIZATIONS)}, got '
        f'{normalization!r}.'
    )


@MODELS.register_module()
class ProbedTeacher(WrappedTeacher):
    r"""Another teacher, with logits of a linear probe on its feature.

    .. math:: z_t = W \, n(f_t) + b

    with the normalisation n that the probe was fitted with.
    ``tools/probe_teacher.py`` fits it on the labelled data. Everything else
    is the other teacher's. :meth:`standardize` changes the feature, not the
    logits.

    Args:
        teacher (dict | FrozenTeacher): The teacher that was probed.
        probe (str): The file that ``tools/probe_teacher.py`` wrote.
        num_classes (int, optional): Number of classes of the data ('auto' in
            a config), so that a probe for others is refused. None takes the
            probe's. Defaults to None.
        **execution (Any): ``dtype``, ``channels_last``, ``max_batch`` and
            ``compile`` of the other teacher, in place of its config's.

    Attributes:
        normalization (str): 'none', 'l2' or 'standardize'.

    Raises:
        UserError: If the file is missing or holds something else, or was
            fitted to another teacher, feature or number of classes.
    """

    def __init__(
        self,
        teacher: Union[dict, FrozenTeacher],
        probe: str,
        num_classes: Optional[int] = None,
        **execution: Any,
    ) -> None:
        # First: a large teacher takes long to build.
        stored = Probe.load(probe)
        inner = build_wrapped(teacher, 'teacher.teacher', execution)
        stored.check(probe, inner, num_classes)
        super().__init__(inner, stored.classes)
        for name in ('weight', 'bias', 'mean', 'std'):
            self.register_buffer(f'probe_{name}', stored.tensors.get(name))
        self.normalization = stored.normalization
        self.name = f'{inner.name} (probed)'
        self.weights = f'{inner.weights} + {probe}'

    def encode(self, inputs: torch.Tensor, wants: Sequence[str]) -> Outputs:
        """Asks the other teacher once, and the probe for logits."""
        output = super().encode(inputs, for_head(wants))
        if LOGITS in wants:
            feature = normalize(
                output.feature,
                self.normalization,
                self.probe_mean,
                self.probe_std,
            )
            output.logits = F.linear(
                feature, self.probe_weight, self.probe_bias
            )
        return output

    def digest(self) -> str:
        """Returns the SHA-256 of both, the other teacher and the probe.

        Returns:
            str: 64 hexadecimal digits; equal if and only if all weights,
            statistics and the kind of normalisation are.
        """
        both = f'{super().digest()} {self.normalization}'
        return hashlib.sha256(both.encode()).hexdigest()
