"""What every way of distilling shares: a classifier that holds teachers."""

from __future__ import annotations

import time
from typing import Any, Dict, List, Optional, Sequence, Tuple, Union

import torch
import torch.nn as nn
from mmpretrain.models.classifiers import BaseClassifier
from mmpretrain.structures import DataSample

from ...errors import UserError
from ...registry import MODELS
from ...stages import DISTILLATION, Stage, StageSchedule
from ..batch import STUDENT, TEACHER, Batch, Pixels, Source
from ..networks import OwnedNetwork
from ..outputs import LOGITS, OUTPUTS, Shape
from ..student import Student
from ..teachers import FrozenTeacher
from .building import (
    build_preprocessor,
    build_student,
    build_teachers,
    fit_preprocessor,
)


class _Held:
    """Holds teachers without owning them: no children, never deep-copied."""

    def __init__(self, teachers: Dict[str, FrozenTeacher]) -> None:
        self.teachers = teachers

    def __deepcopy__(self, memo: dict) -> _Held:
        return self


class BaseDistiller(BaseClassifier):
    """A classifier that trains its student with the help of teachers.

    ``mode='tensor'`` and ``mode='predict'`` go to the student alone, so
    validation, EMA, TTA and every hook and metric of MMPretrain work
    unchanged; ``mode='loss'`` asks each network once for what :meth:`wants`
    says and calls ``loss_<stage>`` of the current stage.

    Teachers are held, not owned: they are in neither ``parameters()`` nor
    ``state_dict()``, so they reach no optimiser, reducer, averaged copy or
    checkpoint.

    Args:
        student (dict | nn.Module): Any MMPretrain classifier.
        teacher (dict | FrozenTeacher, optional): The frozen teacher, named
            ``teacher``. Defaults to None.
        teachers (dict[str, dict], optional): Several, by name, in its place.
            Defaults to None.
        networks (dict[str, dict], optional): Networks that the distiller
            owns, by name, see :mod:`mmkd_custom.models.networks`. Defaults to
            None.
        classifier (str, optional): Module path of the student's last linear
            layer. Found when None. Defaults to None.
        input_size (int): Size of the dry run that finds it, and that tells
            the shapes of the student's maps. Defaults to 224.
        schedule (StageSchedule, optional): Stages over epochs. Defaults to
            distillation only.
        data_preprocessor (dict | nn.Module, optional): As for
            ``ImageClassifier``; becomes a
            :class:`~mmkd_custom.models.DistillDataPreprocessor`. Defaults to
            None, the student's own. Batch augmentations of the student's
            ``train_cfg`` are taken over.
        init_cfg (dict, optional): Defaults to None.

    Raises:
        UserError: If an option is wrong.
    """

    #: Child modules that each stage's own optimiser trains. Children named in
    #: no stage belong to the distillation stage.
    stage_modules: Dict[str, Tuple[str, ...]] = {}

    #: Whether a batch without any label is refused.
    needs_labels = True

    def __init__(
        self,
        student: Union[dict, nn.Module],
        teacher: Union[dict, FrozenTeacher, None] = None,
        teachers: Optional[Dict[str, Union[dict, FrozenTeacher]]] = None,
        networks: Optional[Dict[str, dict]] = None,
        classifier: Optional[str] = None,
        input_size: int = 224,
        schedule: Optional[StageSchedule] = None,
        data_preprocessor: Union[dict, nn.Module, None] = None,
        init_cfg: Optional[dict] = None,
    ) -> None:
        super().__init__(
            init_cfg=init_cfg,
            data_preprocessor=build_preprocessor(data_preprocessor, student),
        )
        self.student = build_student(student)
        self._held = _Held(build_teachers(teacher, teachers))
        view = Student(
            self.student,
            classifier,
            input_size,
            scores=getattr(self.data_preprocessor, 'to_onehot', False),
        )
        self._split = view.split
        fit_preprocessor(self.data_preprocessor, view)
        self.schedule = schedule or StageSchedule([Stage(DISTILLATION)])
        self._stage: Optional[str] = None
        self.progress: Optional[float] = None
        self.networks = nn.ModuleDict()
        for name, network in (networks or {}).items():
            self._add_network(name, network)
        # Known from the start when there is only one: then a distiller also
        # runs in a loop that has no StageHook.
        if len(self.schedule.stages) == 1:
            self.set_stage(self.schedule.stages[0].name)

    def _add_network(self, name: str, network: Union[dict, nn.Module]) -> None:
        taken = (STUDENT, 'batch', *self.teachers)
        if name in taken or hasattr(nn.ModuleDict, name) or '.' in name:
            raise UserError(
                f'networks: expected a name other than {", ".join(taken)}, '
                f'got {name!r}.'
            )
        if isinstance(network, dict):
            network = MODELS.build(network)
        if not isinstance(network, OwnedNetwork):
            raise UserError(
                f'networks.{name}: expected an OwnedNetwork such as '
                f'LinearProbe, got a {type(network).__name__}.'
            )
        network.attach(self)
        self.networks[name] = network

    @property
    def teachers(self) -> Dict[str, FrozenTeacher]:
        """dict[str, FrozenTeacher]: Held, not child modules, by name."""
        return self._held.teachers

    @property
    def teacher(self) -> Optional[FrozenTeacher]:
        """FrozenTeacher: The one that is named so; None without."""
        return self.teachers.get(TEACHER)

    @property
    def student_view(self) -> Student:
        """Student: The encoder/classifier split of ``self.student``."""
        # Made anew: a deep copy of the distiller (EMA) has another student.
        return Student(self.student, split=self._split)

    def network(self, name: str) -> Any:
        """Returns a network by its name.

        Raises:
            UserError: If there is none; lists those there are.
        """
        if name == STUDENT:
            return self.student_view
        if name in self.teachers:
            return self.teachers[name]
        if name in self.networks:
            return self.networks[name]
        known = ', '.join((STUDENT, *self.teachers, *self.networks, 'batch'))
        raise UserError(f'expected one of {known}, got {name!r}.')

    def shape_of(self, source: Source) -> Shape:
        """Returns the shape of what is at a place, for one image.

        Args:
            source (Source): The place.

        Returns:
            Shape: Its shape, by a dry run.

        Raises:
            UserError: If the network does not offer it; lists what it does.
        """
        if source.network == 'batch':
            shapes = dict(
                targets=Shape((), classes=self.student_view.num_classes),
                stream=Shape((), classes=3),
            )
        else:
            shapes = self.network(source.network).shapes
        path = source.output
        name, _, index = path.partition('.')
        if index.startswith('-'):
            count = sum(known.startswith(f'{name}.') for known in shapes)
            path = f'{name}.{count + int(index)}'
        if path not in shapes:
            offers = ', '.join(f'{k} ({v})' for k, v in shapes.items())
            hint = (
                "; networks=dict(probe=dict(type='LinearProbe')) gives it "
                'logits'
                if path == LOGITS
                else ''
            )
            raise UserError(
                f'{source}: expected one of what {source.network} offers '
                f'({offers}), got {source.output!r}{hint}.'
            )
        return shapes[path]

    def wants(self, stage: str) -> Dict[str, Tuple[str, ...]]:
        """Says what each network is asked for in a stage.

        Args:
            stage (str): A stage of the schedule.

        Returns:
            dict[str, tuple[str]]: Outputs by ``who[@view]``.
        """
        raise NotImplementedError

    def asked(self, name: str) -> Tuple[str, ...]:
        """Returns what a network is asked in any stage, in its own view.

        Args:
            name (str): Its name.

        Returns:
            tuple[str]: In the order of
            :data:`~mmkd_custom.models.outputs.OUTPUTS`.
        """
        found = {
            want
            for stage in self.schedule.stages
            for want in self.wants(stage.name).get(name, ())
        }
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

    def _apply(self, fn, *args, **kwargs) -> BaseDistiller:
        # Teachers are no children, yet they follow .to() and .cuda(): to the
        # device only, because their dtype is their own.
        super()._apply(fn, *args, **kwargs)
        device = next(self.student.parameters()).device
        for teacher in self.teachers.values():
            teacher.to(device)
        return self

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

    def extract_feat(self, inputs: torch.Tensor, **kwargs):
        """Extracts the student's features, as the student itself does."""
        return self.student.extract_feat(inputs, **kwargs)

    def predict(
        self,
        inputs: torch.Tensor,
        data_samples: Optional[List[DataSample]] = None,
        **kwargs,
    ) -> List[DataSample]:
        """Predicts with the student alone."""
        return self.student.predict(inputs, data_samples, **kwargs)

    def get_layer_depth(self, param_name: str) -> Tuple[int, int]:
        """Returns the student's layer depth, for layer-wise rates."""
        return self.student.get_layer_depth(
            param_name.removeprefix('student.')
        )

    def batch(
        self,
        inputs: Optional[torch.Tensor],
        data_samples: List[DataSample],
        views: Optional[Dict[str, torch.Tensor]] = None,
    ) -> Batch:
        """Puts preprocessed data together.

        Args:
            inputs (Tensor, optional): As of :meth:`forward`.
            data_samples (list[DataSample]): Likewise.
            views (dict[str, Tensor], optional): Likewise. Defaults to None.

        Returns:
            Batch: What networks are asked about.
        """
        named = {} if inputs is None else {STUDENT: inputs}
        return Batch(
            data_samples,
            {**named, **(views or {})},
            getattr(self.data_preprocessor, 'pixels', Pixels()),
            next(self.student.parameters()).device,
        )

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
        for who, wants in self.wants(self._stage).items():
            name, _, view = who.partition('@')
            start = time.perf_counter()
            batch.outputs[who] = self.network(name).ask(
                batch, wants, view or None
            )
            spent = time.perf_counter() - start
            times[name] = times.get(name, 0.0) + spent
        losses = getattr(self, f'loss_{self._stage}')(batch)
        for name, seconds in times.items():
            losses[f'time_{name}'] = torch.tensor(seconds)
        return losses

    def after_step(self) -> None:
        """Called by ``StageHook`` after each iteration of training."""
        for network in self.networks.values():
            network.after_step(self)
