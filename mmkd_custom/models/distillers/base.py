"""What every way of distilling shares: a classifier that holds a teacher."""

from __future__ import annotations

import time
from typing import Dict, List, Optional, Tuple, Union

import torch
import torch.nn as nn
from mmpretrain.models.classifiers import BaseClassifier
from mmpretrain.structures import DataSample

from ...errors import UserError
from ...registry import MODELS
from ...stages import DISTILLATION, Stage, StageSchedule
from ..batch import Batch, make_batch
from ..data_preprocessor import send
from ..outputs import FEATURE, Outputs
from ..student import Student
from ..teachers import FrozenTeacher
from .overlap import TeacherStream
from .parts import build_preprocessor, build_student, fit_preprocessor


class _Held:
    """Holds a module without owning it: no child, and never deep-copied."""

    def __init__(self, module: FrozenTeacher) -> None:
        self.module = module

    def __deepcopy__(self, memo: dict) -> _Held:
        return self


class BaseDistiller(BaseClassifier):
    """A classifier that trains its student with the help of a teacher.

    ``mode='tensor'`` and ``mode='predict'`` go to the student alone, so
    validation, EMA, TTA and every hook and metric of MMPretrain work
    unchanged; ``mode='loss'`` calls ``loss_<stage>`` of the current stage.

    The teacher is held, not owned (DESIGN decision 2): it is in neither
    ``parameters()`` nor ``state_dict()``, so it reaches no optimiser, reducer,
    averaged copy or checkpoint.

    Args:
        student (dict | nn.Module): Any MMPretrain classifier.
        teacher (dict | FrozenTeacher): The frozen teacher.
        classifier (str, optional): Module path of the student's last linear
            layer. Found when None. Defaults to None.
        input_size (int): Size of the dry run that finds it. Defaults to 224.
        schedule (StageSchedule, optional): Stages over epochs. Defaults to
            distillation only.
        data_preprocessor (dict | nn.Module, optional): As for
            ``ImageClassifier``; becomes a
            :class:`~mmkd_custom.models.DistillDataPreprocessor`. Defaults to
            None, the student's own. Batch augmentations of the student's
            ``train_cfg`` are taken over.
        overlap_teacher (str | bool): Whether a teacher that is asked in every
            step runs beside the student on CUDA, see :class:`TeacherStream`:
            True, False or 'auto', which measures both and keeps the faster.
            Defaults to 'auto'.
        init_cfg (dict, optional): Defaults to None.
    """

    #: Child modules that each stage's own optimiser trains. Children named in
    #: no stage belong to the distillation stage.
    stage_modules: Dict[str, Tuple[str, ...]] = {}

    #: Stages that look at the teacher's outputs and at labels alone: where
    #: these are cached, no image is read.
    imageless_stages: Tuple[str, ...] = ()

    #: What the teacher is asked for, of
    #: :data:`~mmkd_custom.models.outputs.OUTPUTS`; nothing else is computed.
    teacher_wants: Tuple[str, ...] = (FEATURE,)

    def __init__(
        self,
        student: Union[dict, nn.Module],
        teacher: Union[dict, FrozenTeacher],
        classifier: Optional[str] = None,
        input_size: int = 224,
        schedule: Optional[StageSchedule] = None,
        data_preprocessor: Union[dict, nn.Module, None] = None,
        overlap_teacher: Union[str, bool] = 'auto',
        init_cfg: Optional[dict] = None,
    ) -> None:
        super().__init__(
            init_cfg=init_cfg,
            data_preprocessor=build_preprocessor(data_preprocessor, student),
        )
        self.student = build_student(student)
        if isinstance(teacher, dict):
            teacher = MODELS.build(teacher)
        if not isinstance(teacher, FrozenTeacher):
            raise UserError(
                f'teacher: {type(teacher).__name__} is no FrozenTeacher; name '
                'one of TimmTeacher, MMPretrainTeacher.'
            )
        for module in teacher.modules():
            if hasattr(module, 'recall') and module is not teacher:
                raise UserError(
                    f'teacher: a CachedTeacher inside a '
                    f'{type(teacher).__name__} would never be used; put the '
                    f'CachedTeacher around the {type(teacher).__name__}.'
                )
        self._teacher = _Held(teacher)
        self._teacher_stream = TeacherStream(overlap_teacher)
        preprocessor = self.data_preprocessor
        view = Student(
            self.student,
            classifier,
            input_size,
            scores=getattr(preprocessor, 'to_onehot', False),
        )
        self._split = view.split
        fit_preprocessor(preprocessor, view)
        self.schedule = schedule or StageSchedule([Stage(DISTILLATION)])
        self._stage: Optional[str] = None
        # Known from the start when there is only one: then a distiller also
        # runs in a loop that has no StageHook.
        if len(self.schedule.stages) == 1:
            self.set_stage(self.schedule.stages[0].name)

    @property
    def teacher(self) -> FrozenTeacher:
        """FrozenTeacher: Held, not a child module."""
        return self._teacher.module

    @property
    def student_view(self) -> Student:
        """Student: The encoder/classifier split of ``self.student``."""
        # Made anew: a deep copy of the distiller (EMA) has another student.
        return Student(self.student, split=self._split)

    @property
    def stage(self) -> Optional[str]:
        """str: The current stage; None before the first epoch."""
        return self._stage

    def set_stage(self, stage: str) -> None:
        """Enters a stage. Called before every epoch by ``StageHook``."""
        names = [s.name for s in self.schedule.stages]
        if stage not in names:
            raise UserError(
                f'stage {stage!r} is not in the schedule of '
                f'{type(self).__name__}, which has {names}.'
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
        # The teacher is no child, yet it follows .to() and .cuda(): to the
        # device only, because its dtype is its own.
        super()._apply(fn, *args, **kwargs)
        self.teacher.to(next(self.student.parameters()).device)
        return self

    def forward(
        self,
        inputs: Optional[torch.Tensor],
        data_samples: Optional[List[DataSample]] = None,
        mode: str = 'tensor',
        teacher_inputs: Optional[torch.Tensor] = None,
        strong_inputs: Optional[torch.Tensor] = None,
    ):
        """Runs the student, or computes the losses of the current stage.

        Args:
            inputs (Tensor, optional): Images (B, 3, H, W), normalised for the
                student; None in 'loss' of a stage that looks at none.
            data_samples (list[DataSample], optional): B samples. Defaults to
                None.
            mode (str): 'tensor', 'predict' or 'loss'. Defaults to 'tensor'.
            teacher_inputs (Tensor, optional): The same crops at the teacher's
                size; used in 'loss' only. Defaults to None.
            strong_inputs (Tensor, optional): A strong view of the same
                samples, normalised for the student; used in 'loss' only.
                Defaults to None.

        Returns:
            Tensor | list[DataSample] | dict[str, Tensor]: By mode.
        """
        if mode == 'loss':
            return self.loss(
                inputs, data_samples, teacher_inputs, strong_inputs
            )
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
        """Gives the student's layer depth, for layer-wise learning rates."""
        name = (
            param_name[len('student.') :]
            if param_name.startswith('student.')
            else param_name
        )
        return self.student.get_layer_depth(name)

    def loss(
        self,
        inputs: Optional[torch.Tensor],
        data_samples: List[DataSample],
        teacher_inputs: Optional[torch.Tensor] = None,
        strong_inputs: Optional[torch.Tensor] = None,
    ) -> Dict[str, torch.Tensor]:
        """Computes the terms of the current stage.

        Returns:
            dict[str, Tensor]: ``loss_*`` terms, which MMEngine sums, and
            monitors, whose names never contain "loss".

        Raises:
            UserError: If several stages exist and none was entered, or the
                batch holds no labelled sample.
        """
        if self._stage is None:
            raise UserError(
                f'{type(self).__name__} has the stages '
                f'{[s.name for s in self.schedule.stages]} but was told none; '
                "add dict(type='mmkd_custom.StageHook') to custom_hooks."
            )
        batch = make_batch(
            inputs,
            data_samples,
            teacher_inputs,
            strong_inputs,
            device=next(self.student.parameters()).device,
        )
        if len(batch.labelled) == 0:
            raise UserError(
                f'a batch of {len(data_samples)} samples holds no label, but '
                'every training batch wants labelled samples; use '
                'TwoStreamDataset with TwoStreamSampler.'
            )
        return getattr(self, f'loss_{self._stage}')(batch)

    def loss_distillation(self, batch: Batch) -> Dict[str, torch.Tensor]:
        """Computes the terms that train the student."""
        raise NotImplementedError

    def run_student(
        self, batch: Batch
    ) -> Tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Runs the student once on both streams.

        Returns:
            tuple: Feature (B, D_s), logits (B, C) and the host seconds of the
            forward pass as a scalar tensor.
        """
        start = time.perf_counter()
        feature, logits = self.student_view.forward(batch.inputs)
        return feature, logits, torch.tensor(time.perf_counter() - start)

    def run_both(
        self, batch: Batch
    ) -> Tuple[
        Outputs, torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor
    ]:
        """Runs teacher and student, side by side where that is faster.

        Returns:
            tuple: What :meth:`run_teacher` and then what :meth:`run_student`
            returns, in one.
        """
        if hasattr(self.teacher, 'recall'):
            return (*self.run_teacher(batch), *self.run_student(batch))
        with self._teacher_stream.teacher(batch.device):
            teacher, seconds = self.run_teacher(batch)
        student = self.run_student(batch)
        self._teacher_stream.join(teacher.named_tensors().values())
        return (teacher, seconds, *student)

    def run_teacher(self, batch: Batch) -> Tuple[Outputs, torch.Tensor]:
        """Gives the teacher's output, from its cache if it has one.

        Returns:
            tuple: The teacher's output, detached by construction, and the
            seconds it took as a scalar tensor (host time; on CUDA the launch
            only, since waiting would cost more than it tells).
        """
        start = time.perf_counter()
        if hasattr(self.teacher, 'recall'):
            output = self.teacher.recall(
                batch.data_samples,
                self.teacher_wants,
                lambda positions: self._images(batch, positions),
            )
        else:
            output = self.ask_teacher(batch)
        return output, torch.tensor(time.perf_counter() - start)

    def ask_teacher(self, batch: Batch) -> Outputs:
        """Runs the teacher once on a batch, prepared its own way."""
        return self.teacher(self.teacher_images(batch), self.teacher_wants)

    def teacher_images(self, batch: Batch) -> torch.Tensor:
        """Prepares the images of a batch the teacher's way.

        Args:
            batch (Batch): With images.

        Returns:
            Tensor: float32 (B, 3, H_t, W_t).
        """
        extra = batch.teacher_inputs
        return self._prepare(batch.inputs if extra is None else extra)

    def _prepare(self, images: torch.Tensor) -> torch.Tensor:
        preprocessor = self.data_preprocessor
        normalised = getattr(preprocessor, '_enable_normalize', False)
        return self.teacher.prepare(
            images,
            mean=preprocessor.mean.flatten() if normalised else None,
            std=preprocessor.std.flatten() if normalised else None,
            to_rgb=bool(getattr(preprocessor, 'to_rgb', True)),
        )

    def _images(
        self, batch: Batch, positions: List[int]
    ) -> Optional[torch.Tensor]:
        """Prepares some images; None if they came without the teacher's."""
        if any(s.metainfo.get('cached') for s in batch.data_samples):
            return None
        extra = batch.teacher_inputs
        images = batch.inputs if extra is None else extra
        if len(positions) < len(images):
            images = images[send(torch.tensor(positions), images.device)]
        return self._prepare(images)
