"""Weights of terms that are found before a run's first step."""

from __future__ import annotations

from typing import Optional

from ...errors import UserError
from ...registry import TASK_UTILS
from ..options import checked_weight


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
