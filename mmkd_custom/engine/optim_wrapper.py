"""One optimiser per stage behind MMEngine's single-optimiser interface."""

from __future__ import annotations

import copy
from contextlib import contextmanager
from typing import Dict, Iterator, Optional

import torch
import torch.nn as nn
from mmengine.optim import OptimWrapper, OptimWrapperDict

from ..errors import UserError
from ..registry import OPTIM_WRAPPER_CONSTRUCTORS, OPTIM_WRAPPERS
from ..stages import STAGES, StageSchedule


@OPTIM_WRAPPERS.register_module()
class StagedOptimWrapper(OptimWrapperDict):
    """Optimiser wrappers by stage, of which one is active.

    MMEngine's ``train_step`` (plain or distributed) talks to one wrapper;
    this one passes every call to the wrapper of the current stage, so an
    optimiser never sees the gradients of another stage.

    Args:
        **wrappers (OptimWrapper): One wrapper per stage.
    """

    def __init__(self, **wrappers: OptimWrapper) -> None:
        super().__init__(**wrappers)
        self._stage: Optional[str] = (
            next(iter(wrappers)) if len(wrappers) == 1 else None
        )

    @property
    def active(self) -> OptimWrapper:
        """OptimWrapper: The wrapper of the current stage."""
        if self._stage is None:
            raise UserError(
                f'the optimiser has the stages {list(self.keys())} but was '
                "told none; add dict(type='mmkd_custom.StageHook') to "
                'custom_hooks.'
            )
        return self[self._stage]

    def set_stage(self, stage: str) -> None:
        """Makes the wrapper of a stage the active one."""
        if stage not in self:
            raise UserError(
                f'optim_wrapper: stage {stage!r} has no optimiser, only '
                f'{list(self.keys())} have.'
            )
        if stage != self._stage:
            # Terms of another stage may have reached what this one trains.
            self[stage].zero_grad()
        self._stage = stage

    # With `compile` in the config MMEngine compiles a whole step of training;
    # torch cannot take in an optimiser's, whose groups are MMEngine's dicts.
    @torch.compiler.disable
    def update_params(
        self,
        loss: torch.Tensor,
        step_kwargs: Optional[Dict] = None,
        zero_kwargs: Optional[Dict] = None,
    ) -> None:
        """Backpropagates and steps the active optimiser."""
        self.active.update_params(loss, step_kwargs, zero_kwargs)

    def backward(self, loss: torch.Tensor, **kwargs) -> None:
        """Backpropagates with the active wrapper's loss scale."""
        self.active.backward(loss, **kwargs)

    def step(self, **kwargs) -> None:
        """Steps the active optimiser."""
        self.active.step(**kwargs)

    @contextmanager
    def optim_context(self, model: nn.Module) -> Iterator[None]:
        """Autocast and gradient accumulation of the active wrapper."""
        with self.active.optim_context(model):
            yield

    def start_counting(
        self,
        model: nn.Module,
        schedule: StageSchedule,
        epoch: int,
        max_epochs: int,
        epoch_length: int,
    ) -> None:
        """Tells each wrapper how many iterations its own stage has.

        Args:
            model (nn.Module): The model being trained.
            schedule (StageSchedule): Stage of every epoch.
            epoch (int): Epochs already done.
            max_epochs (int): Epochs in all.
            epoch_length (int): Iterations of an epoch.
        """
        for name, wrapper in self.items():
            wrapper.initialize_count_status(
                model,
                schedule.count(name, epoch) * epoch_length,
                schedule.count(name, max_epochs) * epoch_length,
            )


@OPTIM_WRAPPER_CONSTRUCTORS.register_module()
class StagedOptimWrapperConstructor:
    """Builds one optimiser per stage of a distiller.

    .. code:: python

        optim_wrapper=dict(
            constructor='mmkd_custom.StagedOptimWrapperConstructor',
            optimizer=dict(type='SGD', lr=0.1),
            stages=dict(customization=dict(
                optimizer=dict(type='AdamW', lr=1e-3))))

    Everything outside ``stages`` is an ordinary MMEngine wrapper config and
    holds for every stage; an entry of ``stages`` replaces keys for one.

    Args:
        optim_wrapper_cfg (dict): Wrapper config, with optional ``stages``.
        paramwise_cfg (dict, optional): MMEngine's parameter-wise settings.
            Defaults to None.
    """

    def __init__(
        self, optim_wrapper_cfg: dict, paramwise_cfg: Optional[dict] = None
    ) -> None:
        self.cfg = copy.deepcopy(optim_wrapper_cfg)
        self.cfg.setdefault('type', 'OptimWrapper')
        self.overrides = self.cfg.pop('stages', None) or {}
        self.paramwise_cfg = paramwise_cfg

    def __call__(self, model: nn.Module) -> StagedOptimWrapper:
        """Builds the wrapper for a distiller (or its DDP wrapper).

        Raises:
            UserError: If the model has no stages, or ``stages`` names one it
                does not have.
        """
        distiller = getattr(model, 'module', model)
        if not hasattr(distiller, 'trained_children'):
            raise UserError(
                'optim_wrapper: StagedOptimWrapperConstructor wants a '
                f'distiller, but the model is a {type(distiller).__name__}.'
            )
        stages = [stage.name for stage in distiller.schedule.stages]
        # A baseline or an ablation may keep the settings of a stage that it
        # does not have.
        unknown = set(self.overrides) - {*stages, *STAGES}
        if unknown:
            raise UserError(
                f'optim_wrapper.stages: {sorted(unknown)} are no stages of '
                f'{type(distiller).__name__}, which has {stages}.'
            )
        wrappers = {}
        for stage in stages:
            parts = nn.ModuleDict(
                {
                    name: getattr(distiller, name)
                    for name in distiller.trained_children(stage)
                }
            )
            wrappers[stage] = self._build(parts, self.overrides.get(stage, {}))
        return StagedOptimWrapper(**wrappers)

    def _build(self, module: nn.Module, override: dict) -> OptimWrapper:
        cfg = {**copy.deepcopy(self.cfg), **copy.deepcopy(override)}
        paramwise = cfg.pop('paramwise_cfg', self.paramwise_cfg)
        # MMEngine's own constructor groups the parameters; only the module
        # it sees is narrowed to the stage.
        constructor = OPTIM_WRAPPER_CONSTRUCTORS.build(
            dict(
                type='DefaultOptimWrapperConstructor',
                optim_wrapper_cfg=cfg,
                paramwise_cfg=paramwise,
            )
        )
        return constructor(module)
