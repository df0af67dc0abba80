"""Several teachers as one."""

from __future__ import annotations

import math
from typing import List, Optional, Sequence, Union

import torch

from ....errors import UserError
from ....registry import MODELS
from ....utils.class_names import class_difference
from ...outputs import FEATURE, LOGITS, Outputs
from ..base import FrozenTeacher
from .base import build_wrapped, feature_name

PROBABILITIES, FEATURES = 'probabilities', 'features'
MODES = (PROBABILITIES, FEATURES)


@MODELS.register_module()
class EnsembleTeacher(FrozenTeacher):
    r"""Several teachers that are asked as one, each in its own way.

    With 'probabilities' its logits are

    .. math:: z = \log \sum_k w_k \, \mathrm{softmax}(z_k), \quad
              \sum_k w_k = 1

    so their softmax is exactly the weighted mean of the teachers'
    probabilities (MEAL V2, METHODS 6). Its feature is the teachers' features
    one after the other.

    With 'features' there are no logits, and the k-th teacher's feature is
    multiplied by w_k first.

    What :meth:`prepare` gives are pixels in 0-255, R, G, B, at the student's
    size: each teacher prepares its own input from them, to its own size,
    normalisation and dtype.

    Args:
        teachers (Sequence[dict | FrozenTeacher]): One or more.
        weights (Sequence[float], optional): w_k >= 0, one a teacher. For
            probabilities they are divided by their sum. None is 1 for each.
            Defaults to None.
        mode (str): 'probabilities' or 'features'. Defaults to
            'probabilities'.
        dtype (str, optional): Of each teacher, in place of what its config
            says. Defaults to None.
        channels_last (bool, optional): Likewise. Defaults to None.
        max_batch (int, optional): Likewise. Defaults to None.
        compile (bool, optional): Likewise. Defaults to None.

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
        weights: Optional[Sequence[float]] = None,
        mode: str = PROBABILITIES,
        dtype: Optional[str] = None,
        channels_last: Optional[bool] = None,
        max_batch: Optional[int] = None,
        compile: Optional[bool] = None,
    ) -> None:
        if mode not in MODES:
            raise UserError(
                f'teacher: mode={mode!r} is not one of {", ".join(MODES)}.'
            )
        if not isinstance(teachers, (list, tuple)) or not teachers:
            raise UserError(
                f'teacher: teachers={teachers!r}, but a list of at least one '
                'teacher is wanted.'
            )
        shares = _check_weights(weights, len(teachers))
        execution = dict(
            dtype=dtype,
            channels_last=channels_last,
            max_batch=max_batch,
            compile=compile,
        )
        members = [
            build_wrapped(teacher, f'teachers[{index}]', execution)
            for index, teacher in enumerate(teachers)
        ]
        # Pixels: nothing is subtracted, divided or resized.
        super().__init__(mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))
        # An assignment would cast all of them to one dtype.
        self.add_module('teachers', torch.nn.ModuleList(members))
        self.mode = mode
        self.feature = '+'.join(map(feature_name, members))
        names = ' + '.join(member.name for member in members)
        self.name = f'{names} ({mode})'
        self.weights = ' + '.join(member.weights for member in members)
        self.feature_dim = sum(member.feature_dim for member in members)
        self.offers = (FEATURE,)
        self.dims = {FEATURE: (self.feature_dim,)}
        self.classes = None
        # Buffers, so that the digest covers them.
        if mode == FEATURES:
            self.register_buffer('scales', shares.float())
            return
        self.register_buffer(
            'log_weights', (shares / shares.sum()).log().float()
        )
        self.num_classes = _check_classes(members)
        self.classes = _class_names(members)
        self.offers = (FEATURE, LOGITS)
        self.dims[LOGITS] = (self.num_classes,)

    def encode(self, inputs: torch.Tensor, wants: Sequence[str]) -> Outputs:
        """Asks each teacher once.

        Args:
            inputs (Tensor): Pixels in 0-255, RGB, (N, 3, H, W).
            wants (Sequence[str]): Names out of ``offers``.

        Returns:
            Outputs: Feature (N, D_1 + D_2 + …) and logits (N, C), as
            far as they are wanted.
        """
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
        """Describes all teachers in one line for the log.

        Returns:
            str: What each says of itself, its weight, and the first 12 digits
            of :meth:`digest`.
        """
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


def _check_weights(
    weights: Optional[Sequence[float]], count: int
) -> torch.Tensor:
    if weights is None:
        return torch.ones(count, dtype=torch.float64)
    listed = isinstance(weights, (list, tuple))
    numbers = [
        w
        for w in (weights if listed else ())
        if isinstance(w, (int, float)) and math.isfinite(w) and w >= 0
    ]
    if not any(numbers) or len(numbers) != len(weights):
        raise UserError(
            f'teacher: weights={weights!r}, but a list of numbers >= 0, not '
            'all of them 0, is wanted.'
        )
    if len(numbers) != count:
        raise UserError(
            f'teacher: weights has {len(numbers)} numbers, but teachers has '
            f'{count}.'
        )
    return torch.tensor(numbers, dtype=torch.float64)


def _check_classes(members: List[FrozenTeacher]) -> int:
    first = members[0]
    for member in members:
        if member.num_classes is None:
            raise UserError(
                f'teachers: {member.name} has no logits, but mode='
                f"'{PROBABILITIES}' averages those of all; probe it, or set "
                f"mode='{FEATURES}'."
            )
        if member.num_classes != first.num_classes:
            raise UserError(
                f'teachers: {first.name} has {first.num_classes} classes and '
                f'{member.name} {member.num_classes}, but probabilities of '
                'the same classes are wanted.'
            )
    return first.num_classes


def _class_names(members: List[FrozenTeacher]) -> Optional[Sequence[str]]:
    known = [m for m in members if getattr(m, 'classes', None) is not None]
    for member in known:
        differs = class_difference(
            known[0].classes, member.classes, (known[0].name, member.name)
        )
        if differs:
            raise UserError(
                f'teachers: {differs}, but probabilities of the same classes '
                'in the same order are wanted.'
            )
    return tuple(known[0].classes) if known else None
