"""Weights of terms that are found before a run's first step."""

from __future__ import annotations

import math
from typing import Optional

from ...errors import UserError
from ...registry import TASK_UTILS
from ..options import checked_number, checked_weight


@TASK_UTILS.register_module()
class SourceWeight:
    """The share of a term's teacher among all that are so weighted.

    ``WeighSourcesHook`` finds the shares.

    Args:
        weight (float): What the shares are of. Defaults to 1.0.

    Attributes:
        share (float, optional): Of the teacher; None until it is found.

    Raises:
        UserError: If ``weight`` is not a number >= 0.
    """

    def __init__(self, weight: float = 1.0) -> None:
        self.weight = checked_weight('SourceWeight.weight', weight)
        self.share: Optional[float] = None

    def __call__(self, progress: float) -> float:
        """Returns the weight, the same all along.

        Args:
            progress (float): Share of the run that is done.

        Raises:
            UserError: If the share has not been found.
        """
        if self.share is None:
            raise UserError(
                'SourceWeight: expected a share before the first step; add '
                "dict(type='mmkd_custom.WeighSourcesHook') to custom_hooks."
            )
        return self.weight * self.share


@TASK_UTILS.register_module()
class TrustedWeight:
    r"""A term's weight where a probe knows the classes, and 0 where not.

    For terms that pass on what a teacher says of the classes. A linear probe
    of its features answers for labelled images that it was not fitted to, and
    Cohen's

    .. math:: \kappa = (p_o - p_e) / (1 - p_e)

    is how far that agrees with their labels beyond chance, p_o being the
    accuracy and p_e that of answers drawn by the same shares of the classes.
    ``PropagateLabelsHook`` finds it; no label of an unlabelled image is read.
    Where none could be held out nothing is known, and the weight stays. The
    rule is ours; from 0.8 on agreement is called almost perfect (Landis and
    Koch, Biometrics 1977).

    Args:
        weight (float): The weight. Defaults to 1.0.
        kappa (float): From where on the probe is trusted, in [-1, 1].
            Defaults to 0.8.
        of (str): Name of the ``PropagatedLabels`` whose probe it is. Defaults
            to 'propagated'.

    Attributes:
        found (float, optional): Kappa of the probe, NaN if nothing could be
            held out; None until it is known.

    Raises:
        UserError: If ``weight`` is not a number >= 0, or ``kappa`` none in
            [-1, 1].
    """

    def __init__(
        self, weight: float = 1.0, kappa: float = 0.8, of: str = 'propagated'
    ) -> None:
        self.weight = checked_weight('TrustedWeight.weight', weight)
        if not -1 <= checked_number('TrustedWeight.kappa', kappa) <= 1:
            raise UserError(
                'TrustedWeight.kappa: expected a number in [-1, 1], got '
                f'{kappa!r}.'
            )
        self.kappa, self.of = kappa, of
        self.found: Optional[float] = None

    @property
    def trusts(self) -> bool:
        """bool: Whether the term counts."""
        if self.found is None:
            raise UserError(
                f'TrustedWeight.of: expected PropagatedLabels {self.of!r} '
                'among the networks, and PropagateLabelsHook among '
                'custom_hooks, before the first step.'
            )
        return math.isnan(self.found) or self.found >= self.kappa

    def __call__(self, progress: float) -> float:
        """Returns the weight, the same all along.

        Args:
            progress (float): Share of the run that is done.

        Raises:
            UserError: If kappa has not been found.
        """
        return self.weight if self.trusts else 0.0
