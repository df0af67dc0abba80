"""Heads of the student folded into its last layer, at the end."""

from __future__ import annotations

from typing import Any, Dict, List, NamedTuple, Union

import torch
from mmengine.hooks import EMAHook, Hook
from mmengine.runner import Runner

from ...errors import UserError, nearest
from ...models.distillers import BaseDistiller
from ...models.networks import StudentHead
from ...models.options import checked_choice, checked_positive, checked_weight
from ...models.outputs import FEATURE, LOGITS
from ...models.source import Source
from ...registry import HOOKS
from ...stages import STUDENT
from ..unwrap import unwrapped

POOLINGS = ('logits', 'probabilities')


class _Fold(NamedTuple):
    """How one head counts."""

    weight: float
    temperature: float


@HOOKS.register_module()
class FoldHeadsHook(Hook):
    r"""Makes the student's own layer and further heads one linear layer.

    After the last iteration, before the last checkpoint, the last evaluation
    and ``student.pth``, the student's last layer (W, b) becomes

    .. math:: W \leftarrow \Big(1 - \sum_k w_k\Big) W
              + \sum_k \frac{w_k}{\beta_k} W_k

    and b likewise, of the :class:`StudentHead` named k: what is evaluated and
    exported is one plain classifier whose logits are the weighted mean of
    all heads' logits (log-linear pooling; ours). DHO (arXiv 2505.07675) has
    w = beta = .5 and takes the mean of probabilities, which no linear layer
    gives; MDCS's experts are a mean of logits already. With an ``EMAHook``
    the averaged student is folded too. Evaluations before are of the
    student's own layer. A run that is resumed with more epochs trains on from
    the folded layer.

    Args:
        heads (dict): w_k by name, or ``dict(weight=w_k, temperature=b_k)``;
            b_k is 1 unless given. What all of them leave of 1 is the share
            of the student's own layer.
        pooling (str): What is averaged; of 'logits' and 'probabilities' the
            first alone is one classifier. Defaults to 'logits'.

    Raises:
        UserError: If a number has no such value, or an option no such form.
    """

    # After EMAHook (NORMAL), which averages the last step, and before
    # ResultsHook (LOW) and CheckpointHook (VERY_LOW).
    priority = 'BELOW_NORMAL'

    def __init__(
        self,
        heads: Dict[str, Union[float, dict]],
        pooling: str = POOLINGS[0],
    ) -> None:
        name = type(self).__name__
        if checked_choice(f'{name}.pooling', pooling, POOLINGS) != POOLINGS[0]:
            raise UserError(
                f"{name}.pooling: expected 'logits', whose mean is one linear "
                'layer that can be exported, got a mean of probabilities, '
                'which is none.'
            )
        if not isinstance(heads, dict) or not heads:
            raise UserError(
                f'{name}.heads: expected a dict such as dict(kd=0.5), got '
                f'{heads!r}.'
            )
        self.heads = {
            head: _fold(f'{name}.heads.{head}', value)
            for head, value in heads.items()
        }
        if sum(fold.weight for fold in self.heads.values()) > 1 + 1e-9:
            raise UserError(
                f'{name}.heads: expected weights of at most 1 together, got '
                f'{[fold.weight for fold in self.heads.values()]}.'
            )

    def before_train(self, runner: Runner) -> None:
        """Refuses heads whose export would not be one classifier.

        Raises:
            UserError: If one is missing, of another kind, or looks at
                anything but what the student's last layer looks at.
        """
        model = unwrapped(runner)
        if not isinstance(model, BaseDistiller):
            raise UserError(
                f'{type(self).__name__}: expected a distiller with heads of '
                f'its own, got a {type(model).__name__}.'
            )
        for name in self.heads:
            _check(f'{type(self).__name__}.heads.{name}', model, name)

    def after_train_iter(self, runner: Runner, *_: Any, **__: Any) -> None:
        """Folds, once."""
        if not self.is_last_train_iter(runner):
            return
        models: List[Any] = [unwrapped(runner)]
        models += [
            hook.ema_model.module
            for hook in runner.hooks
            if isinstance(hook, EMAHook)
        ]
        for model in models:
            self.fold(model)
        runner.logger.info(
            f"{type(self).__name__}: the student's last layer is the mean of "
            f'{len(self.heads) + 1} heads now.'
        )

    @torch.no_grad()
    def fold(self, model: BaseDistiller) -> None:
        """Folds the heads of a model, in place.

        Args:
            model (BaseDistiller): With the heads among its ``networks``.
        """
        own = 1 - sum(fold.weight for fold in self.heads.values())
        layer = model.student_view.classifier
        others = [model.networks[name].fc for name in self.heads]
        for kind, parameter in layer.named_parameters():
            parameter.mul_(max(own, 0.0))
            for fold, other in zip(self.heads.values(), others):
                share = fold.weight / fold.temperature
                parameter.add_(getattr(other, kind), alpha=share)


def _fold(option: str, value: Union[float, dict]) -> _Fold:
    given = value if isinstance(value, dict) else dict(weight=value)
    if 'weight' not in given or set(given) - {'weight', 'temperature'}:
        raise UserError(
            f'{option}: expected a weight, or a dict of weight and '
            f'temperature, got {value!r}.'
        )
    return _Fold(
        checked_weight(f'{option}.weight', given['weight'], most=1),
        checked_positive(
            f'{option}.temperature', given.get('temperature', 1.0)
        ),
    )


def _check(option: str, model: BaseDistiller, name: str) -> None:
    heads = [
        known
        for known, network in model.networks.items()
        if isinstance(network, StudentHead)
    ]
    if name not in model.networks:
        raise UserError(
            f'{option}: expected one of the networks {heads or "(none)"}, got '
            f'{name!r} ({nearest(name, heads)}).'
        )
    head, classifier = model.networks[name], model.student_view.classifier
    if not isinstance(head, StudentHead):
        raise UserError(
            f'{option}: expected a StudentHead, which is one linear layer, '
            f'got a {type(head).__name__}, of which no plain classifier can '
            'be exported.'
        )
    if head.of != (Source(STUDENT, None, FEATURE),) or (
        head.fc.out_features != classifier.out_features
    ):
        raise UserError(
            f"{option}: expected a head on student.feature with the student's "
            f'{classifier.out_features} classes, got one on {head.of[0]} with '
            f'{head.shapes[LOGITS].width}; no plain classifier can be '
            'exported of both.'
        )
