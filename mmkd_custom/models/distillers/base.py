"""What every way of distilling shares: stages, and networks asked once."""

from __future__ import annotations

import time
from typing import Callable, Dict, List, Optional, Sequence, Tuple, Union

import torch
import torch.nn as nn
from mmpretrain.structures import DataSample

from ...errors import UserError
from ...stages import (
    DISTILLATION,
    STUDENT,
    TEACHER,
    UNLABELLED,
    Stage,
    StageSchedule,
)
from ..batch import Batch
from ..mixing import UnlabelledMixup
from ..options import checked_positive
from ..outputs import OUTPUTS
from ..teachers import FrozenTeacher
from .taught import TaughtClassifier


class BaseDistiller(TaughtClassifier):
    """A classifier that trains its student with the help of teachers.

    ``mode='loss'`` asks each network once for what :meth:`wants`
    says and calls ``loss_<stage>`` of the current stage.

    Args:
        student (dict | nn.Module): See :class:`TaughtClassifier`.
        teacher (dict | FrozenTeacher, optional): Likewise. Defaults to None.
        teachers (dict[str, dict], optional): Likewise. Defaults to None.
        networks (dict[str, dict], optional): Networks that the distiller
            owns, by name, see :mod:`mmkd_custom.models.networks`. Defaults to
            None.
        classifier (str, optional): See :class:`TaughtClassifier`. Defaults to
            None.
        input_size (int): Likewise. Defaults to 224.
        mixup (float, optional): alpha of Mixup of the unlabelled images that
            the student sees, with the targets mixed alike, see
            :class:`~mmkd_custom.models.mixing.UnlabelledMixup`. Defaults to
            None, no Mixup.
        schedule (StageSchedule, optional): Stages over epochs. Defaults to
            distillation only.
        **kwargs: See :class:`TaughtClassifier`.

    Raises:
        UserError: If an option is wrong.
    """

    #: Child modules that each stage's own optimiser trains. Children named in
    #: no stage belong to the distillation stage.
    stage_modules: Dict[str, Tuple[str, ...]] = {}

    #: Whether a batch without any label is refused.
    needs_labels = True
    #: Whether the student's logits are those of the dataset's classes.
    classifies = True

    #: Is shown a batch and its losses; what it returns is logged with them.
    monitor: Optional[Callable[[Batch, Dict], Dict]] = None

    def __init__(
        self,
        student: Union[dict, nn.Module],
        teacher: Union[dict, FrozenTeacher, None] = None,
        teachers: Optional[Dict[str, Union[dict, FrozenTeacher]]] = None,
        networks: Optional[Dict[str, dict]] = None,
        classifier: Optional[str] = None,
        input_size: int = 224,
        mixup: Optional[float] = None,
        schedule: Optional[StageSchedule] = None,
        **kwargs,
    ) -> None:
        super().__init__(
            student,
            teacher,
            teachers,
            classifier,
            input_size,
            **kwargs,
        )
        self.schedule = schedule or StageSchedule([Stage(DISTILLATION)])
        self.mixup = (
            None if mixup is None else checked_positive('mixup', mixup)
        )
        self._stage: Optional[str] = None
        self.progress: Optional[float] = None
        self._wants: Dict[str, Dict[str, Tuple[str, ...]]] = {}
        for name, network in (networks or {}).items():
            self._add_network(name, network)
        # Known from the start when there is only one: then a distiller also
        # runs in a loop that has no StageHook.
        if len(self.schedule.stages) == 1:
            self.set_stage(self.schedule.stages[0].name)

    def wants(self, stage: str) -> Dict[str, Tuple[str, ...]]:
        """Returns what each network is asked for in a stage.

        Args:
            stage (str): A stage of the schedule.

        Returns:
            dict[str, tuple[str]]: Outputs by ``who[@view]``.
        """
        raise NotImplementedError

    def asked(self, name: str, any_view: bool = False) -> Tuple[str, ...]:
        """Returns what a network is asked in any stage, and ahead of all.

        Args:
            name (str): Its name.
            any_view (bool): Whether of any view, not only its own. Defaults
                to False.

        Returns:
            tuple[str]: In the order of
            :data:`~mmkd_custom.models.outputs.OUTPUTS`.
        """
        found = {
            want
            for stage in self.schedule.stages
            for who, wants in self.wants(stage.name).items()
            if who == name or (any_view and who.startswith(f'{name}@'))
            for want in wants
        }
        ahead = (s for n in self.networks.values() for s in n.ahead)
        found.update(s.output for s in ahead if s.network == name)
        order = [n for n in OUTPUTS if n in found]
        return (*order, *sorted(found - {*order}))

    def images(
        self, stage: str, recalled: Sequence[str] = ()
    ) -> Tuple[str, ...]:
        """Returns the views that networks look at in a stage.

        Args:
            stage (str): A stage of the schedule.
            recalled (Sequence[str]): Teachers whose answers about their own
                view are known already. Defaults to none.

        Returns:
            tuple[str]: Names of views, sorted; none if no image is needed.
        """
        views = set()
        for who in self.wants(stage):
            name, _, view = who.partition('@')
            own: Optional[str] = None if name in recalled else TEACHER
            if name in self.networks:
                own = self.networks[name].view
            elif name == STUDENT:
                own = STUDENT
            views.add(view or own)
        views.discard(None)
        return tuple(sorted(views))

    @property
    def stage(self) -> Optional[str]:
        """str: The current stage; None before the first epoch."""
        return self._stage

    def set_stage(self, stage: str) -> None:
        """Enters a stage. Called before every epoch by ``StageHook``."""
        names = [s.name for s in self.schedule.stages]
        if stage not in names:
            raise UserError(
                f'stage: expected one of {names}, which '
                f'{type(self).__name__} has, got {stage!r}.'
            )
        self._stage = stage
        self.train(self.training)

    def train(self, mode: bool = True) -> BaseDistiller:
        """Sets the mode; modules that the stage does not train stay eval."""
        super().train(mode)
        stage = getattr(self, '_stage', None)
        if mode and stage is not None:
            trained = self.trained_children(stage)
            for name, child in self.named_children():
                child.train(name in trained or name == 'data_preprocessor')
        return self

    def trained_children(self, stage: str) -> Tuple[str, ...]:
        """Names the child modules that a stage trains.

        Args:
            stage (str): A stage of the schedule.

        Returns:
            tuple[str]: Names of direct children.
        """
        if stage in self.stage_modules:
            named = self.stage_modules[stage]
        else:
            taken = {n for names in self.stage_modules.values() for n in names}
            named = tuple(
                name
                for name, _ in self.named_children()
                if name not in taken and name != 'data_preprocessor'
            )
        return tuple(n for n in named if getattr(self, n, None) is not None)

    def forward(
        self,
        inputs: Optional[torch.Tensor],
        data_samples: Optional[List[DataSample]] = None,
        mode: str = 'tensor',
        views: Optional[Dict[str, torch.Tensor]] = None,
    ) -> Union[torch.Tensor, List[DataSample], Dict[str, torch.Tensor]]:
        """Runs the student, or computes the losses of the current stage.

        Args:
            inputs (Tensor, optional): Images (B, 3, H, W), normalised for the
                student; None in 'loss' of a stage that looks at none.
            data_samples (list[DataSample], optional): B samples. Defaults to
                None.
            mode (str): 'tensor', 'predict' or 'loss'. Defaults to 'tensor'.
            views (dict[str, Tensor], optional): Further views of the same
                samples, normalised likewise; used in 'loss' only. Defaults to
                None.

        Returns:
            Tensor | list[DataSample] | dict[str, Tensor]: By mode.
        """
        if mode == 'loss':
            return self.loss(inputs, data_samples, views)
        return self.student(inputs, data_samples, mode=mode)

    def loss(
        self,
        inputs: Optional[torch.Tensor],
        data_samples: List[DataSample],
        views: Optional[Dict[str, torch.Tensor]] = None,
    ) -> Dict[str, torch.Tensor]:
        """Asks each network once and computes the terms of the stage.

        Returns:
            dict[str, Tensor]: ``loss_*`` terms, which MMEngine sums, and
            monitors, whose names never contain "loss": ``time_<network>`` is
            the host's seconds (on CUDA the launch only, since waiting would
            cost more than it tells).

        Raises:
            UserError: If several stages exist and none was entered, or the
                batch holds no labelled sample but labels are needed.
        """
        if self._stage is None:
            raise UserError(
                f'{type(self).__name__}: expected to be told one of its '
                f'stages {[s.name for s in self.schedule.stages]}; add '
                "dict(type='mmkd_custom.StageHook') to custom_hooks."
            )
        batch = self.batch(inputs, data_samples, views)
        if self.needs_labels and batch.labelled.stop == 0:
            raise UserError(
                'train_dataloader: expected labelled samples in every batch, '
                f'got {len(batch)} without; use TwoStreamDataset with '
                'TwoStreamSampler.'
            )
        times: Dict[str, float] = {}
        if self._stage not in self._wants:
            # Terms do not change once the model is built.
            self._wants[self._stage] = self.wants(self._stage)
        asked = self._wants[self._stage]
        if self.mixup and any(w.partition('@')[0] == STUDENT for w in asked):
            batch.mixup = UnlabelledMixup(
                batch.rows(UNLABELLED), len(batch), self.mixup, batch.device
            )
        for who, wants in asked.items():
            name, _, view = who.partition('@')
            start = time.perf_counter()
            batch.outputs[who] = self.network(name).ask(
                batch, wants, view or None
            )
            spent = time.perf_counter() - start
            times[name] = times.get(name, 0.0) + spent
        if batch.mixup is not None:
            # Only now: a probe is asked about features of unmixed images.
            batch.mixup.mix_targets(batch.outputs, self.networks)
        losses = getattr(self, f'loss_{self._stage}')(batch)
        if self.monitor is not None:
            losses.update(self.monitor(batch, losses))
        for name, seconds in times.items():
            losses[f'time_{name}'] = torch.tensor(seconds)
        return losses

    def after_step(self) -> None:
        """Called by ``StageHook`` after each iteration of training."""
        for network in self.networks.values():
            network.after_step(self)
