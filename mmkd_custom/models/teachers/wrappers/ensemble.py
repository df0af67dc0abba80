"""Several teachers as one."""

from __future__ import annotations

from typing import Any, List, Sequence, Union

import torch
import torch.nn as nn

from ....errors import UserError
from ....registry import MODELS
from ...outputs import FEATURE, LOGITS, Outputs
from ..base import FrozenTeacher
from .base import build_wrapped, check_classes, feature_name
from .shares import checked_shares

PROBABILITIES, FEATURES = 'probabilities', 'features'
MODES = (PROBABILITIES, FEATURES)


@MODELS.register_module()
class EnsembleTeacher(FrozenTeacher):
    r"""Several teachers that are asked as one, each in its own way.

    With 'probabilities' its logits are

    .. math:: z = \log \sum_k w_k \, \mathrm{softmax}(z_k), \quad
              \sum_k w_k = 1

    so their softmax is exactly the weighted mean of the teachers'
    probabilities, as in MEAL V2 (arXiv 2009.08453). Its feature is the
    teachers' features one after the other.

    With 'features' there are no logits, and the k-th teacher's feature is
    multiplied by w_k first.

    :meth:`prepare` returns pixels in 0-255, R, G, B, at the student's size:
    each teacher prepares its own input from them, to its own size,
    normalisation and dtype.

    Args:
        teachers (Sequence[dict | FrozenTeacher]): One or more.
        weights (Sequence[float] | dict, optional): w_k >= 0, one a teacher.
            For probabilities they are divided by their sum. Or what they are
            made of, see :func:`~.shares.checked_shares`: ``dict(scores=…,
            temperature=…)`` as of CV-DD, ``dict(scores=…, power=…)``. None is
            1 for each. Defaults to None.
        mode (str): 'probabilities' or 'features'. Defaults to
            'probabilities'.
        **execution (Any): ``dtype``, ``channels_last``, ``max_batch`` and
            ``compile`` of each teacher, in place of its config's.

    Attributes:
        teachers (nn.ModuleList): The teachers.
        classes (tuple[str], optional): Class names, if a teacher knows them.

    Raises:
        UserError: If there are no teachers, the weights do not fit or
            probabilities are not of the same classes.
    """

    def __init__(
        self,
        teachers: Sequence[Union[dict, FrozenTeacher]],
        weights: Union[Sequence[float], dict, None] = None,
        mode: str = PROBABILITIES,
        **execution: Any,
    ) -> None:
        if mode not in MODES:
            raise UserError(
                f'teacher: mode: expected one of {", ".join(MODES)}, got '
                f'{mode!r}.'
            )
        if not isinstance(teachers, (list, tuple)) or not teachers:
            raise UserError(
                'teacher: teachers: expected a list of at least one teacher, '
                f'got {teachers!r}.'
            )
        shares = checked_shares(weights, len(teachers))
        members = [
            build_wrapped(teacher, f'teachers[{index}]', execution)
            for index, teacher in enumerate(teachers)
        ]
        # Pixels: nothing is subtracted, divided or resized.
        super().__init__(mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))
        # FrozenTeacher casts what is assigned to it to one dtype.
        nn.Module.__setattr__(self, 'teachers', nn.ModuleList(members))
        self.mode = mode
        self.feature = '+'.join(map(feature_name, members))
        names = ' + '.join(member.name for member in members)
        self.name = f'{names} ({mode})'
        self.weights = ' + '.join(member.weights for member in members)
        self.feature_dim = sum(member.feature_dim for member in members)
        self.offers = (FEATURE,)
        self.dims = {FEATURE: (self.feature_dim,)}
        self.classes, self.own_words = None, False
        # Buffers, so that the digest covers them.
        if mode == FEATURES:
            self.register_buffer('scales', shares.float())
            return
        self.register_buffer(
            'log_weights', (shares / shares.sum()).log().float()
        )
        known = _check_classes(members)
        self.num_classes = known.num_classes
        self.classes = getattr(known, 'classes', None)
        self.own_words = getattr(known, 'own_words', False)
        self.offers = (FEATURE, LOGITS)
        self.dims[LOGITS] = (self.num_classes,)

    def encode(self, inputs: torch.Tensor, wants: Sequence[str]) -> Outputs:
        """Asks each teacher once about pixels in 0-255, RGB."""
        outputs = [
            teacher(teacher.prepare(inputs), wants)
            for teacher in self.teachers
        ]
        feature = logits = None
        if FEATURE in wants:
            features = [output.feature for output in outputs]
            if self.mode == FEATURES:
                features = [f * w for f, w in zip(features, self.scales)]
            feature = torch.cat(features, 1)
        if LOGITS in wants:
            # (K, N, C); logarithms throughout, so nothing underflows.
            log_q = torch.stack([o.logits.log_softmax(1) for o in outputs])
            weighted = log_q + self.log_weights.view(-1, 1, 1)
            logits = weighted.logsumexp(0)
        return Outputs(feature, logits)

    def describe(self) -> str:
        """Returns what each teacher says of itself, with its weight."""
        weights = (
            self.scales if self.mode == FEATURES else self.log_weights.exp()
        )
        parts = [
            f'{weight:.3g} x [{teacher.describe()}]'
            for weight, teacher in zip(weights.tolist(), self.teachers)
        ]
        return (
            f'{self.mode} of {len(parts)} teachers, feature '
            f'{self.feature_dim}: {" + ".join(parts)} (sha256 '
            f'{self.digest()[:12]})'
        )


def _check_classes(members: List[FrozenTeacher]) -> FrozenTeacher:
    """Returns the member that knows best what the classes are."""
    first = members[0]
    for member in members:
        if member.num_classes is None:
            raise UserError(
                f'teachers: mode: expected logits of all for '
                f"'{PROBABILITIES}', got none of {member.name}; probe it, or "
                f"set '{FEATURES}'."
            )
        if member.num_classes != first.num_classes:
            raise UserError(
                'teachers: expected logits of the same classes, got '
                f'{first.num_classes} of {first.name} and '
                f'{member.num_classes} of {member.name}.'
            )
    named = [m for m in members if getattr(m, 'classes', None) is not None]
    named.sort(key=lambda member: getattr(member, 'own_words', False))
    for member in named[1:]:
        check_classes(member, named[0].classes, f'teacher {named[0].name}')
    return named[0] if named else first
