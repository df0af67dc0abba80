"""CustomKD: distil the original and the customized teacher feature."""

from __future__ import annotations

from typing import Dict, Optional, Union

import torch
import torch.nn as nn

from ...errors import UserError
from ...registry import MODELS
from ...stages import (
    CUSTOMIZATION,
    DISTILLATION,
    LABELLED,
    Stage,
    StageSchedule,
)
from ..batch import Batch, top1
from ..options import checked_weight
from .base import BaseDistiller
from .parts import build_connector


@MODELS.register_module()
class CustomKD(BaseDistiller):
    r"""Customized knowledge distillation (arXiv 2503.18244, METHODS 1).

    Notation: :math:`f_t, f_s` teacher and student features,
    :math:`\theta_t^h` the teacher projection D_t -> D_s, :math:`\theta_s^h`
    the student projection D_s -> D_t, :math:`\theta_s^c` the student's last
    linear layer.

    - Stage ``customization`` (labelled images only) trains
      :math:`\theta_t^h` alone:
      :math:`L = CE(\theta_s^c(\theta_t^h(f_t)), y)`, where
      :math:`\theta_s^c` takes part with its live weights and does not change.
    - Stage ``distillation`` trains the student and :math:`\theta_s^h`:
      :math:`L = CE(\theta_s^c(f_s), y) + \lambda_g MSE(\theta_s^h(f_s), f_t)
      + \lambda_s MSE(f_s, sg\,\theta_t^h(f_t))`, the features over labelled
      and unlabelled images.

    The stages alternate every epoch, customization first.

    Args:
        student (dict | nn.Module): Any MMPretrain classifier.
        teacher (dict | FrozenTeacher): The frozen teacher.
        general_weight (float): :math:`\lambda_g` of the task-general feature;
            0 switches the term off. Defaults to 1.0 [ours].
        specific_weight (float): :math:`\lambda_s` of the customized,
            task-specific feature; 0 switches the term off. Defaults to
            1.0 [ours].
        schedule (dict): Epochs of each stage in one cycle. Defaults to
            ``dict(customization=1, distillation=1)``.
        customization_head (str): 'student' customizes through the student's
            live head; 'teacher' through a randomly initialised trainable
            linear layer of its own, the ablation of the paper. Defaults to
            'student'.
        prediction (dict, optional): Loss on logits, such as
            ``dict(type='DKD')``, on labelled and unlabelled images; the
            teacher's logits are those of the customized feature [ours].
            Defaults to None.
        prediction_weight (float): Its weight. Defaults to 1.0.
        feature_loss (dict): Loss of both feature terms. Defaults to
            ``dict(type='MSE')``.
        projection (dict): Connector of both projections; its channels are
            inferred. Defaults to ``dict(type='LinearConnector')`` [ours].
        **kwargs: See :class:`BaseDistiller`.

    Raises:
        UserError: If an option is wrong or the projection does not fit.
    """

    stage_modules = {CUSTOMIZATION: ('teacher_projection', 'teacher_head')}
    imageless_stages = (CUSTOMIZATION,)

    def __init__(
        self,
        student: Union[dict, nn.Module],
        teacher: Union[dict, nn.Module],
        general_weight: float = 1.0,
        specific_weight: float = 1.0,
        schedule: Optional[dict] = None,
        customization_head: str = 'student',
        prediction: Optional[dict] = None,
        prediction_weight: float = 1.0,
        feature_loss: Optional[dict] = None,
        projection: Optional[dict] = None,
        **kwargs,
    ) -> None:
        weights = dict(
            general_weight=general_weight,
            specific_weight=specific_weight,
            prediction_weight=prediction_weight,
        )
        for name, weight in weights.items():
            checked_weight(name, weight)
        if customization_head not in ('student', 'teacher'):
            raise UserError(
                f'customization_head={customization_head!r}, but '
                "'student' or 'teacher' is wanted."
            )
        customizes = specific_weight > 0 or prediction is not None
        super().__init__(
            student,
            teacher,
            schedule=_schedule(schedule, customizes),
            **kwargs,
        )
        view = self.student_view
        d_t, d_s = self.teacher.feature_dim, view.feature_dim
        projection = projection or dict(type='mmkd_custom.LinearConnector')
        self.general_weight = general_weight
        self.specific_weight = specific_weight
        self.prediction_weight = prediction_weight
        # A part that no term uses is not built: it would only be a parameter
        # that never gets a gradient.
        self.student_projection = (
            build_connector('student_projection', projection, d_s, d_t)
            if general_weight > 0
            else None
        )
        self.teacher_projection = (
            build_connector('teacher_projection', projection, d_t, d_s)
            if customizes
            else None
        )
        self.teacher_head = (
            nn.Linear(d_s, view.num_classes)
            if customizes and customization_head == 'teacher'
            else None
        )
        self.feature_loss = MODELS.build(
            feature_loss or dict(type='mmkd_custom.MSE')
        )
        self.prediction_loss = (
            None if prediction is None else MODELS.build(prediction)
        )

    def loss_customization(self, batch: Batch) -> Dict[str, torch.Tensor]:
        """Stage 1: customizes the teacher's feature (METHODS 1)."""
        batch = batch.only_labelled()
        teacher, seconds = self.run_teacher(batch)
        logits = self._classify(self.teacher_projection(teacher.feature))
        return dict(
            loss_customization=self.student_view.supervised_loss(
                logits, batch.labelled_samples
            ),
            teacher_top1=top1(logits, batch.labelled_samples),
            time_teacher=seconds,
        )

    def loss_distillation(self, batch: Batch) -> Dict[str, torch.Tensor]:
        """Stage 2: distils both features (METHODS 1)."""
        view, labelled = self.student_view, batch.labelled
        samples = batch.labelled_samples
        teacher, teacher_seconds, feature, logits, student_seconds = (
            self.run_both(batch)
        )
        terms = dict(loss_ce=view.supervised_loss(logits[labelled], samples))
        if self.general_weight > 0:
            terms['loss_general'] = self.general_weight * self.feature_loss(
                self.student_projection(feature), teacher.feature
            )
        if self.teacher_projection is not None:
            with torch.no_grad():
                customized = self.teacher_projection(teacher.feature)
                teacher_logits = self._classify(customized)
            if self.specific_weight > 0:
                terms['loss_specific'] = (
                    self.specific_weight
                    * self.feature_loss(feature, customized)
                )
            if self.prediction_loss is not None:
                terms['loss_prediction'] = (
                    self.prediction_weight
                    * self.prediction_loss(
                        logits, teacher_logits, batch.targets
                    )
                )
            terms['teacher_top1'] = top1(teacher_logits[labelled], samples)
        terms.update(
            time_teacher=teacher_seconds, time_student=student_seconds
        )
        return terms

    def _classify(self, customized: torch.Tensor) -> torch.Tensor:
        if self.teacher_head is not None:
            return self.teacher_head(customized)
        return self.student_view.classify(customized)


def _schedule(lengths: Optional[dict], customizes: bool) -> StageSchedule:
    lengths = dict(lengths or {CUSTOMIZATION: 1, DISTILLATION: 1})
    unknown = set(lengths) - {CUSTOMIZATION, DISTILLATION}
    if unknown:
        raise UserError(
            f'schedule: CustomKD has no stage {sorted(unknown)[0]!r}, only '
            f'{CUSTOMIZATION!r} and {DISTILLATION!r}.'
        )
    stages = StageSchedule(
        [
            Stage(CUSTOMIZATION, lengths.get(CUSTOMIZATION, 0), (LABELLED,)),
            Stage(DISTILLATION, lengths.get(DISTILLATION, 0)),
        ]
    )
    if not customizes:
        # Nothing uses the customized feature, so no epoch is spent on it.
        return StageSchedule([Stage(DISTILLATION)])
    if stages.count(CUSTOMIZATION, stages.period) == 0:
        raise UserError(
            f'schedule: {lengths} never customizes, but specific_weight > 0 '
            'and prediction need at least one customization epoch.'
        )
    return stages
