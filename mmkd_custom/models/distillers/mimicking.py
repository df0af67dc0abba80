"""One place of ScaleKD: a projector and a loss of its own for each view."""

from __future__ import annotations

from typing import Dict, Optional, Sequence

import torch
import torch.nn as nn
from mmengine.model import BaseModule, ModuleDict

from ...errors import UserError
from ..losses import DualView
from ..options import checked_weight
from ..outputs import Shape
from .term import build_connector

ORIGINAL, ALTERNATIVE = VIEWS = ('original', 'alternative')

#: About what the authors' sums over 7 x 7 positions weigh, .08 and .06.
WEIGHTS = {ORIGINAL: 4.0, ALTERNATIVE: 2.5}


class Mimicking(BaseModule):
    """Dual-view feature mimicking behind two unshared projectors.

    Args:
        option (str): Name of the configuration option, for errors.
        cfg (dict): Weights ``original`` (default 4.0) and ``alternative``
            (default 2.5) of the views, ``num_heads`` and ``scale`` of
            :class:`~mmkd_custom.models.connectors.CrossAttentionConnector`.
        source (Shape): What the student gives there.
        target (Shape): What the projectors give.
        asked (Sequence[str]): Views whose projector is needed although their
            weight is 0. Defaults to none.
        self_query (bool): Whether the projectors have queries of their own.
            Defaults to True.

    Attributes:
        weights (dict[str, float]): By view.
        projectors (ModuleDict): By view.

    Raises:
        UserError: If an option is wrong, or nothing leads from ``source`` to
            ``target``.
    """

    def __init__(
        self,
        option: str,
        cfg: Optional[dict],
        source: Shape,
        target: Shape,
        asked: Sequence[str] = (),
        self_query: bool = True,
    ) -> None:
        super().__init__()
        self.weights = weights_of(option, cfg)
        options = {k: v for k, v in (cfg or {}).items() if k not in VIEWS}
        projector = dict(
            options,
            type='mmkd_custom.CrossAttentionConnector',
            self_query=self_query,
        )
        self.projectors = ModuleDict(
            {
                view: build_connector(option, projector, source, target)
                for view in VIEWS
                if self.weights[view] or view in asked
            }
        )
        self.losses: Dict[str, nn.Module] = {
            ORIGINAL: DualView(alternative=0.0),
            ALTERNATIVE: DualView(original=0.0),
        }

    def loss(
        self, view: str, found: torch.Tensor, target: torch.Tensor
    ) -> torch.Tensor:
        """Computes the weighted loss of a view.

        Args:
            view (str): 'original' or 'alternative'.
            found (Tensor): Tokens (N, L, D).
            target (Tensor): The teacher's last feature, likewise.

        Returns:
            Tensor: A scalar.
        """
        return self.weights[view] * self.losses[view](found, target)


def weights_of(option: str, cfg: Optional[dict]) -> Dict[str, float]:
    """Returns the weight of each view of one place.

    Args:
        option (str): Name of the configuration option, for the error.
        cfg (dict, optional): As of :class:`Mimicking`.

    Raises:
        UserError: If it is no dict, has an unknown key, or a weight is no
            finite number >= 0.
    """
    if not isinstance(cfg, (dict, type(None))):
        raise UserError(
            f'{option}: expected a dict of weights and of options of the '
            f'projector, got {cfg!r}.'
        )
    given = {**WEIGHTS, **(cfg or {})}
    known = (*VIEWS, 'num_heads', 'scale')
    unknown = [key for key in given if key not in known]
    if unknown:
        raise UserError(
            f'{option}: expected {", ".join(known)}, got {unknown}.'
        )
    return {v: checked_weight(f'{option}.{v}', given[v]) for v in VIEWS}
