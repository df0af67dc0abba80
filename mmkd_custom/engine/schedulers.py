"""A learning rate that falls, then stays."""

from __future__ import annotations

from typing import Any

from mmengine.optim import CosineAnnealingLR

from ..errors import UserError
from ..registry import PARAM_SCHEDULERS


@PARAM_SCHEDULERS.register_module()
class CosineConstantLR(CosineAnnealingLR):
    """A cosine decay to a rate that holds for the last part of the run.

    For averages of weights (:class:`~mmkd_custom.engine.StudentSWAHook`),
    which want to be taken of a student that still moves (arXiv 1803.05407).
    In place of ``CosineAnnealingLR`` in a config's ``param_scheduler``.

    Args:
        *args: See MMEngine's ``CosineAnnealingLR``.
        begin (int): Likewise.
        end (int): Where the constant part ends; MMEngine gives the end of the
            run.
        constant (float): The constant part, as a share of the steps from
            ``begin`` to ``end``, in [0, 1). Defaults to 0.25.
        eta_min_ratio (float): Its rate, as a share of the base rate. Defaults
            to 0.2, which is ours.
        **kwargs: See MMEngine's ``CosineAnnealingLR``.

    Raises:
        UserError: If ``constant`` is another number, or ``T_max`` or
            ``eta_min`` is given.
    """

    def __init__(
        self,
        *args: Any,
        begin: int = 0,
        end: int,
        constant: float = 0.25,
        eta_min_ratio: float = 0.2,
        **kwargs: Any,
    ) -> None:
        if not isinstance(constant, (int, float)) or not 0 <= constant < 1:
            raise UserError(
                'param_scheduler: CosineConstantLR.constant: expected a '
                f'number in [0, 1), got {constant!r}.'
            )
        for name in ('T_max', 'eta_min'):
            if kwargs.get(name) is not None:
                raise UserError(
                    f'param_scheduler: CosineConstantLR.{name}: expected '
                    'none, since constant and eta_min_ratio say it, got '
                    f'{kwargs[name]!r}.'
                )
        # A scheduler leaves the rate alone after its end.
        falls = max(1, round((end - begin) * (1 - constant)))
        super().__init__(
            *args,
            begin=begin,
            end=begin + falls,
            eta_min_ratio=eta_min_ratio,
            **kwargs,
        )
