"""Fits a run's own probes of its teachers before the first step."""

from __future__ import annotations

from typing import Dict, Tuple

import torch
from mmengine.hooks import Hook
from mmengine.runner import Runner

from ...engine.teacher_pass import distiller_of
from ...engine.together import by_rank_0
from ...engine.unwrap import unwrapped
from ...errors import UserError
from ...models.distillers import BaseDistiller
from ...models.networks import LinearProbe
from ...models.options import checked_size
from ...registry import HOOKS
from ..labelled import hold_out
from ..logistic import fit_probe
from .labelled import labelled_features


@HOOKS.register_module()
class FitProbeHook(Hook):
    """Fits every ``LinearProbe(fitted=True)``: probe, then distil, in one run.

    Before the first step the teacher is asked about view 0 of the labelled
    images, or its cache read, and the probe fitted as by
    ``tools/probe_teacher.py``: of a teacher that sees each image whole the
    same images, the same hold-out and the same logits. What was fitted is in
    the checkpoints.

    Args:
        holdout (float): Share of the images of each class that chooses the
            regularisation. Defaults to 0.2.
        batch_size (int): Images the teacher sees at once. Defaults to 64.

    Raises:
        UserError: If an option has no such value.
    """

    # After StandardizeTeacherHook (HIGH): in the units that the run has.
    priority = 31

    def __init__(self, holdout: float = 0.2, batch_size: int = 64) -> None:
        name = type(self).__name__
        if not 0 < holdout < 1:
            raise UserError(
                f'{name}.holdout: expected a share in (0, 1), got {holdout}.'
            )
        self.holdout = holdout
        self.batch_size = checked_size(f'{name}.batch_size', batch_size)

    def before_train(self, runner: Runner) -> None:
        """Fits, unless the run is resumed.

        Raises:
            UserError: If there is no such probe, it is none of a teacher, or
                a class has no image.
        """
        model, name = unwrapped(runner), type(self).__name__
        probes: Dict[str, LinearProbe] = {
            key: network
            for key, network in getattr(model, 'networks', {}).items()
            if isinstance(network, LinearProbe) and network.fitted
        }
        if not probes:
            raise UserError(
                f'{name}: expected a LinearProbe(fitted=True) in networks, '
                'got none.'
            )
        distiller_of(runner, name)
        for key, probe in probes.items():
            if probe.of[0].network not in model.teachers:
                raise UserError(
                    f'networks.{key}.of: expected one of the teachers '
                    f'{", ".join(model.teachers)} to be fitted ahead, got '
                    f'{probe.of[0].network!r}.'
                )
            if not runner.iter:
                self._fill(runner, model, key, probe)

    def _fill(
        self,
        runner: Runner,
        model: BaseDistiller,
        key: str,
        probe: LinearProbe,
    ) -> None:
        features, labels = labelled_features(
            runner, model, probe.of[0].network, self.batch_size
        )
        counts = torch.bincount(labels, minlength=probe.fc.out_features)
        if not counts.all():
            raise UserError(
                f'networks.{key}: expected labelled images of each class, got '
                f'{counts.tolist()}.'
            )
        weight, bias, told = by_rank_0(
            lambda: self._fit(features, labels, runner.seed or 0)
        )
        probe.fill(weight, bias)
        runner.logger.info(f'{type(self).__name__}: {key}: {told}')

    def _fit(
        self, features: torch.Tensor, labels: torch.Tensor, seed: int
    ) -> Tuple[torch.Tensor, torch.Tensor, str]:
        held_out = hold_out(labels.numpy(), self.holdout, seed)
        fit = fit_probe(features, labels, [held_out])
        found = {k: v.double() for k, v in fit.tensors.items()}
        # W (f - mean) / std + b, for the feature as it comes.
        weight = found['weight'] / found['std']
        bias = found['bias'] - weight @ found['mean']
        told = (
            f'C = {fit.chosen.c:g}, {fit.chosen.held_out:.2f} % top-1 of the '
            f'{len(held_out)} images held out'
        )
        return weight.float(), bias.float(), told
