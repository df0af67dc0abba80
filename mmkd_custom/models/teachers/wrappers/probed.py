"""A teacher whose logits a linear probe gives."""

from __future__ import annotations

import hashlib
from typing import Optional, Sequence, Union

import torch
import torch.nn.functional as F

from ....registry import MODELS
from ...outputs import FEATURE, LOGITS, OUTPUTS, Outputs
from ..base import FrozenTeacher
from .base import build_wrapped, feature_name, mirrored
from .files import check_fitted
from .probe import TOOL, Probe, normalize


@MODELS.register_module()
class ProbedTeacher(FrozenTeacher):
    r"""Another teacher, with logits of a linear probe on its feature.

    .. math:: z_t = W \, n(f_t) + b

    with the normalisation n that the probe was fitted with.
    ``tools/probe_teacher.py`` fits it on the labelled data. Everything else
    is the other teacher's: its preparation of the input, and all that it
    offers. Logits of its own are replaced. :meth:`standardize` changes the
    feature, not the logits.

    Args:
        teacher (dict | FrozenTeacher): The teacher that was probed.
        probe (str): The file that ``tools/probe_teacher.py`` wrote.
        num_classes (int, optional): Number of classes of the data ('auto' in
            a config), so that a probe for others is refused. None takes the
            probe's. Defaults to None.
        dtype (str, optional): Of the other teacher, in place of what its
            config says. Defaults to None.
        channels_last (bool, optional): Likewise. Defaults to None.
        max_batch (int, optional): Likewise. Defaults to None.
        compile (bool, optional): Likewise. Defaults to None.

    Attributes:
        teacher (FrozenTeacher): The other teacher.
        classes (tuple[str]): Names of the C classes, in order.
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
        dtype: Optional[str] = None,
        channels_last: Optional[bool] = None,
        max_batch: Optional[int] = None,
        compile: Optional[bool] = None,
    ) -> None:
        # First: a large teacher takes long to build.
        stored = Probe.load(probe)
        inner = build_wrapped(
            teacher,
            'teacher.teacher',
            dict(
                dtype=dtype,
                channels_last=channels_last,
                max_batch=max_batch,
                compile=compile,
            ),
        )
        check_fitted(
            f'probe {probe}',
            stored,
            stored.weight.shape[1],
            inner,
            num_classes,
            TOOL,
        )
        super().__init__(**mirrored(inner))
        # The very object: it may do more than its options say.
        self.preparation = inner.preparation
        # An assignment would cast what is inside, of which parts may be in
        # other dtypes.
        self.add_module('teacher', inner)
        self.register_buffer('probe_weight', stored.weight)
        self.register_buffer('probe_bias', stored.bias)
        self.register_buffer('probe_mean', stored.mean)
        self.register_buffer('probe_std', stored.std)
        self.normalization = stored.normalization
        self.classes = tuple(stored.classes)
        self.feature = feature_name(inner)
        self.name = f'{inner.name} (probed)'
        self.weights = f'{inner.weights} + {probe}'
        self.feature_dim = inner.feature_dim
        self.num_classes = len(stored.classes)
        self.offers = tuple(
            name for name in OUTPUTS if name in (*inner.offers, LOGITS)
        )
        self.dims = {**inner.dims, LOGITS: (self.num_classes,)}

    def encode(self, inputs: torch.Tensor, wants: Sequence[str]) -> Outputs:
        """Asks the other teacher once, and the probe if logits are wanted.

        Args:
            inputs (Tensor): (N, 3, H, W), normalised for the other teacher.
            wants (Sequence[str]): Names out of ``offers``.

        Returns:
            Outputs: What the other teacher gives, in float32, and
            logits (N, C).
        """
        needed = {name for name in wants if name != LOGITS}
        if LOGITS in wants:
            needed.add(FEATURE)
        output = self.teacher(inputs, tuple(needed))
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
        """Computes the SHA-256 of both, the other teacher and the probe.

        Returns:
            str: 64 hexadecimal digits; equal if and only if all weights,
            statistics and the kind of normalisation are.
        """
        both = f'{super().digest()} {self.normalization}'
        return hashlib.sha256(both.encode()).hexdigest()
