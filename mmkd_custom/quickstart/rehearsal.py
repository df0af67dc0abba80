"""How long a step of a run takes, found by taking a few."""

from __future__ import annotations

import copy
import gc
from dataclasses import dataclass
from pathlib import Path
from typing import Dict

import torch
from mmengine.config import Config
from mmengine.hooks import Hook

from ..engine.launch import build_runner, naming_mistakes
from ..engine.unwrap import unwrapped
from ..fitting.hook import tell_kappa
from ..measuring.windows import forget
from ..models.networks import PropagatedLabels
from ..stages import CUSTOMIZATION, DISTILLATION
from ..utils.kinds import is_kind

#: Steps of a timed epoch, and how many are timed after the first, in which
#: the teacher is asked and everything warms up.
STEPS, TIMES = 4, 2
#: Hooks without which a step cannot be taken.
_NEEDED = ('StageHook', 'EpochSeedHook', 'TeacherCacheHook')


@dataclass(frozen=True)
class Pace:
    """Seconds of a step.

    Args:
        distillation (float): Of one that trains the student.
        customization (float): Of one that customizes the teacher's feature; 0
            for a method without.
    """

    distillation: float
    customization: float = 0.0

    @property
    def both(self) -> float:
        """Of one of each, which is what an epoch of the student has."""
        return self.distillation + self.customization


def rehearse(config: Config, folder: Path) -> Pace:
    """Takes a few steps of a run, of each of its stages.

    On the run's own images and in its own processes; what was trained is
    thrown away. The quickest of a few short epochs counts, with everything
    that the teacher was asked at hand, as it is in the run.

    Args:
        config (Config): Prepared for the run; it is copied.
        folder (Path): For its cache; not the run's.

    Raises:
        UserError: As of :func:`~mmkd_custom.engine.launch.train`: here it is
            that a run is built for the first time.
    """
    config = copy.deepcopy(config)
    config.work_dir = str(folder)
    # MMEngine keeps things by this name.
    config.experiment_name = f'rehearsal_{folder.name}'
    config.train_cfg = dict(
        type='mmkd_custom.WindowLoop', max_epochs=100, batches=STEPS
    )
    for name in ('val', 'test'):
        for part in ('dataloader', 'cfg', 'evaluator'):
            config[f'{name}_{part}'] = None
    config.default_hooks.checkpoint = None
    config.custom_hooks = [
        hook for hook in config.custom_hooks if is_kind(hook, *_NEEDED)
    ]
    try:
        with naming_mistakes(config) as built:
            return _pace(config, built)
    finally:
        # Its workers and networks make room for the run's.
        forget()
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()


def _pace(config: Config, built: Hook) -> Pace:
    runner = build_runner(config, 'train')
    runner.register_hook(built)
    _fill_tables(runner)
    runner.train()
    loop = runner.train_loop
    seconds: Dict[str, float] = {}
    for stage in (DISTILLATION, CUSTOMIZATION):
        if stage not in loop.epochs:
            continue
        loop.window(stage)
        times = [loop.window(stage)['seconds'] for _ in range(TIMES)]
        seconds[stage] = min(times) / STEPS
    return Pace(**seconds)


def _fill_tables(runner) -> None:
    """Gives propagated labels some values, for how long they take to use."""
    model = unwrapped(runner)
    networks = getattr(model, 'networks', None) or {}
    count = len(runner.train_loop.dataset)
    for name, network in networks.items():
        if isinstance(network, PropagatedLabels):
            classes = network.shapes['logits'].width
            even = torch.full((count, classes), 1 / classes)
            network.fill(even, even, torch.ones(count, dtype=torch.bool))
            tell_kappa(model, name, network.kappa)
