"""One term of a distiller: a loss between two places."""

from __future__ import annotations

from typing import Any, Callable, Collection, Dict, Optional, Tuple, Union

import torch
import torch.nn as nn
from mmengine.model import BaseModule

from ...errors import UserError
from ...registry import MODELS, TASK_UTILS
from ...stages import DISTILLATION, LABELLED, STREAMS, STUDENT, TEACHER
from ..batch import Batch
from ..connectors.base import Connector, fitting
from ..options import checked_weight
from ..outputs import FEATURE, Shape
from ..source import Source

#: Terms that are always there take these names.
RESERVED = ('ce', 'customization')
_TARGETS = Source('batch', None, 'targets')
_DEFAULTS = dict(
    on=FEATURE, weight=1.0, streams='all', stage=DISTILLATION, connector='auto'
)


@TASK_UTILS.register_module()
class Ramp:
    """A weight that goes in a straight line from one number to another.

    A pure function of the share of the run that is done, so a resumed run has
    the same.

    Args:
        to (float): Its value from then on. Defaults to 1.0.
        over (float): Share of the run, in (0, 1], that it takes. Defaults to
            0.1.
        start (float): Its value at the start. Defaults to 0.0.

    Raises:
        UserError: If a number is none, or not in its range.
    """

    def __init__(
        self, to: float = 1.0, over: float = 0.1, start: float = 0.0
    ) -> None:
        self.to, self.start = (
            checked_weight(f'Ramp.{name}', value)
            for name, value in dict(to=to, start=start).items()
        )
        if not 0 < checked_weight('Ramp.over', over) <= 1:
            raise UserError(f'Ramp.over: expected a share of 1, got {over!r}.')
        self.over = over

    def __call__(self, progress: float) -> float:
        """Returns the weight.

        Args:
            progress (float): Share of the run that is done, in [0, 1].

        Returns:
            float: The weight.
        """
        return self.start + (self.to - self.start) * min(
            progress / self.over, 1.0
        )


class Term(BaseModule):
    """A loss between what two networks say, weighted.

    Args:
        name (str): Its name; it is logged as ``loss_<name>``.
        cfg (dict): ``loss``: a loss module's config. ``on``: the two places,
            ``who[@view].what[.index]`` each, of which the right one is the
            target and is detached; one word such as ``'logits'`` is short for
            ``('student.logits', 'teacher.logits')``; default ``'feature'``.
            ``connector``: what takes the left to the right one's shape; left
            out, it is a ``LinearConnector`` between the student's feature and
            a teacher's, and none elsewhere; None is none. ``weight``: a
            number, or a function of progress such as ``dict(type='Ramp')``;
            default 1.0. ``streams``:
            'all' (default), 'labelled', 'unlabelled' (with synthetic images)
            or 'synthetic'. ``stage``: default 'distillation'.
        shape_of (Callable): Returns the :class:`Shape` of a place.
        teachers (Collection[str]): Names of the teachers. Defaults to
            'teacher' alone.

    Raises:
        UserError: If a key or a place is unknown, shapes do not fit, or a
            loss wants labels on streams that have none.
    """

    def __init__(
        self,
        name: str,
        cfg: dict,
        shape_of: Callable[[Source], Shape],
        teachers: Collection[str] = (TEACHER,),
    ) -> None:
        super().__init__()
        option = f'terms.{name}'
        _check_keys(option, name, cfg)
        cfg = {**_DEFAULTS, **cfg}
        self.stage, self.streams = cfg['stage'], cfg['streams']
        self.weight = _weight(f'{option}.weight', cfg['weight'])
        self.left, self.right = _places(option, cfg['on'])
        try:
            source, target = shape_of(self.left), shape_of(self.right)
        except UserError as error:
            raise UserError(f'{option}.on: {error}') from error
        self.loss = MODELS.build(cfg['loss'])
        self._check_labels(option, shape_of)
        connector = cfg['connector']
        if connector == 'auto':
            both = {self.left.output, self.right.output} == {FEATURE}
            taught = both and self.right.network in teachers
            connector = (
                dict(type='mmkd_custom.LinearConnector') if taught else None
            )
        self.connector = (
            None
            if connector is None
            else build_connector(
                f'{option}.connector', connector, source, target
            )
        )
        given = source if connector is None else self.connector.gives_shape
        try:
            self.loss.check(given, target)
        except UserError as error:
            names = ', '.join(fitting(source, target)) or 'none'
            raise UserError(
                f'{option}: {self.left} is {source} and {self.right} is '
                f'{target}; {error} Connectors that fit: {names}.'
            ) from error

    def _check_labels(
        self, option: str, shape_of: Callable[[Source], Shape]
    ) -> None:
        of_targets = self.right == _TARGETS
        if not (of_targets or self.loss.needs_target):
            return
        if self.streams not in ('all', LABELLED):
            what = type(self.loss).__name__
            what += f' on {_TARGETS}' if of_targets else ''
            raise UserError(
                f'{option}.streams: expected labelled images, without which '
                f'{what} says nothing, got {self.streams!r}.'
            )
        if self.loss.needs_target and self.loss.num_classes is None:
            self.loss.num_classes = shape_of(_TARGETS).classes

    @property
    def sources(self) -> Tuple[Source, Source]:
        """tuple[Source, Source]: The two places."""
        return self.left, self.right

    def forward(
        self, batch: Batch, progress: Optional[float] = None
    ) -> Optional[torch.Tensor]:
        """Computes the weighted term.

        Args:
            batch (Batch): With what the networks have said.
            progress (float, optional): Share of the run that is done; a
                weight that is a function needs it. Defaults to None.

        Returns:
            Tensor | None: A scalar; None if the batch has no image of its
            streams.

        Raises:
            UserError: If the weight needs the progress and nobody told it.
        """
        rows = batch.rows(self.streams)
        if rows.start == rows.stop:
            return None
        left = batch.get(self.left)[rows]
        right = batch.get(self.right)[rows].detach()
        if self.connector is not None:
            seen = (left, right) if self.connector.sees_target else (left,)
            left = self.connector(*seen)
        weight = self.weight
        if callable(weight):
            if progress is None:
                raise UserError(
                    'a weight that follows the progress: expected to be told '
                    "of it; add dict(type='mmkd_custom.StageHook') to "
                    'custom_hooks.'
                )
            weight = weight(progress)
        return weight * self.loss(left, right, batch.targets[rows])


def build_connector(
    option: str, cfg: dict, source: Shape, target: Shape
) -> Connector:
    """Builds a connector between two shapes.

    Args:
        option (str): Name of the configuration option, for the error.
        cfg (dict): Its config, without shapes.
        source (Shape): What it takes.
        target (Shape): What it gives.

    Returns:
        Connector: The connector.

    Raises:
        UserError: If it does not fit; names those that would.
    """
    try:
        return MODELS.build(dict(cfg, source=source, target=target))
    except UserError as error:
        names = ', '.join(fitting(source, target)) or 'none'
        raise UserError(f'{option}: {error} Those that fit: {names}.') from (
            error
        )


def _check_keys(option: str, name: str, cfg: Any) -> None:
    known = ('loss', *_DEFAULTS)
    if not isinstance(cfg, dict) or 'loss' not in cfg or set(cfg) - {*known}:
        raise UserError(
            f'{option}: expected a dict of loss and, if wanted, '
            f'{", ".join(_DEFAULTS)}, got '
            f'{sorted(cfg) if isinstance(cfg, dict) else cfg!r}.'
        )
    if not name or '.' in name or hasattr(nn.ModuleDict, name):
        raise UserError(f'terms: expected a name such as kd, got {name!r}.')
    if name in RESERVED:
        raise UserError(
            f'{option}: expected a name that is not taken, got {name!r}, '
            'which is the name of a term that is always there.'
        )
    streams = cfg.get('streams', 'all')
    if streams not in ('all', *STREAMS):
        raise UserError(
            f'{option}.streams: expected one of {("all", *STREAMS)}, got '
            f'{streams!r}.'
        )


def _places(option: str, on: Union[str, tuple]) -> Tuple[Source, Source]:
    if isinstance(on, str) and '.' not in on:
        on = f'{STUDENT}.{on}', f'{TEACHER}.{on}'
    if not isinstance(on, (tuple, list)) or len(on) != 2:
        raise UserError(
            f"{option}.on: expected 'feature', 'logits' or two places such as "
            f"('student.maps.2', 'teacher.maps.2'), got {on!r}."
        )
    left, right = (Source.parse(place) for place in on)
    return left, right


def _weight(
    option: str, weight: Union[float, Dict[str, Any]]
) -> Union[float, Callable[[float], float]]:
    if isinstance(weight, dict):
        return TASK_UTILS.build(weight)
    return checked_weight(option, weight)
