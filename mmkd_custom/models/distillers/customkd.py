"""CustomKD: distil the original and the customized teacher feature."""

from __future__ import annotations

from typing import Any, Dict, List, Optional, Union

import torch
import torch.nn as nn

from ...errors import UserError
from ...registry import MODELS
from ...stages import CUSTOMIZATION, LABELLED, TEACHER, StageSchedule
from ..batch import Batch, top1
from ..options import checked_choice, checked_weight
from ..outputs import FEATURE, Shape
from ..source import Source
from .customizing import (
    CUSTOMIZED,
    CUSTOMIZED_LOGITS,
    customizes,
    own_terms,
    stages_of,
)
from .distiller import Distiller
from .term import build_connector


@MODELS.register_module()
class CustomKD(Distiller):
    r"""Customized knowledge distillation (arXiv 2503.18244).

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

    The stages alternate every epoch, customization first. It is a
    :class:`Distiller` with one stage more, two terms of its own and two
    outputs more, so that any term combines with it:
    ``teacher.more.customized`` is :math:`\theta_t^h(f_t)` and
    ``teacher.more.customized_logits`` is what the customization head says of
    it. What of the defaults is the paper's: docs/methods.md, CustomKD.

    Args:
        student (dict | nn.Module): Any MMPretrain classifier.
        teacher (dict | FrozenTeacher): The frozen teacher.
        general_weight (float): :math:`\lambda_g` of the task-general feature;
            0 switches the term off. Defaults to 1.0.
        specific_weight (float): :math:`\lambda_s` of the customized,
            task-specific feature; 0 switches the term off. Defaults to
            1.0.
        schedule (dict): Epochs of each stage in one cycle. Defaults to
            ``dict(customization=1, distillation=1)``.
        customization_head (str): 'student' customizes through the student's
            live head; 'teacher' through a randomly initialised trainable
            linear layer of its own, the ablation of the paper. Defaults to
            'student'.
        customize_on (str): Images of a customization epoch: 'labelled', as in
            the paper, or 'all', for terms of that stage on unlabelled ones
            (refused without), such as the cross entropy of
            ``teacher.more.customized_logits`` with
            ``propagated.more.labels``. Defaults to 'labelled'.
        prediction (dict, optional): Loss on logits, such as
            ``dict(type='DKD')``, on labelled and unlabelled images; short
            for a term on ``('student.logits',
            'teacher.more.customized_logits')``. Defaults to None.
        prediction_weight (float | dict): Its weight, as of any term. Defaults
            to 1.0.
        terms (dict[str, dict], optional): More terms, see :class:`Term`.
            Defaults to None.
        feature_loss (dict): Loss of both feature terms. Defaults to
            ``dict(type='MSE')``.
        projection (dict): Connector of both projections; its channels are
            inferred. Defaults to ``dict(type='LinearConnector')``.
        **kwargs: See :class:`Distiller`.

    Raises:
        UserError: If an option is wrong or the projection does not fit.
    """

    stage_modules = {CUSTOMIZATION: ('teacher_projection', 'teacher_head')}

    def __init__(
        self,
        student: Union[dict, nn.Module],
        teacher: Union[dict, nn.Module, None] = None,
        general_weight: float = 1.0,
        specific_weight: float = 1.0,
        schedule: Optional[dict] = None,
        customization_head: str = 'student',
        customize_on: str = LABELLED,
        prediction: Optional[dict] = None,
        prediction_weight: Union[float, dict] = 1.0,
        feature_loss: Optional[dict] = None,
        projection: Optional[dict] = None,
        terms: Optional[Dict[str, dict]] = None,
        **kwargs,
    ) -> None:
        weights = dict(
            general_weight=general_weight,
            specific_weight=specific_weight,
            prediction_weight=prediction_weight,
        )
        for name, weight in weights.items():
            # A term checks a dict.
            if name != 'prediction_weight' or not isinstance(weight, dict):
                checked_weight(name, weight)
        for name, value, known in (
            ('customization_head', customization_head, ('student', 'teacher')),
            ('customize_on', customize_on, (LABELLED, 'all')),
        ):
            checked_choice(name, value, known)
        projection = projection or dict(type='mmkd_custom.LinearConnector')
        feature_loss = feature_loss or dict(type='mmkd_custom.MSE')
        own = own_terms(feature_loss, projection, prediction, **weights)
        clash = sorted(set(own) & set(terms or {}))
        if clash:
            raise UserError(
                f'terms.{clash[0]}: expected a name that CustomKD has not '
                'taken, such as dkd.'
            )
        every = {**own, **(terms or {})}
        # A part that no term uses is not built: it would only be a parameter
        # that never gets a gradient.
        self._customizes = customizes(every)
        super().__init__(
            student,
            teacher,
            every,
            schedule=stages_of(schedule, self._customizes, customize_on),
            **kwargs,
        )
        self.customize_on = customize_on
        for name, term in self.terms(CUSTOMIZATION).items():
            if term.left.network != TEACHER:
                raise UserError(
                    f'terms.{name}.on: expected teacher.{CUSTOMIZED} or its '
                    'logits on the left of a customization term, since that '
                    f'stage trains nothing else, got {term.left}.'
                )
        seen = {term.streams for term in self.terms(CUSTOMIZATION).values()}
        if customize_on == 'all':
            fits = bool(seen - {LABELLED})
        else:
            fits = seen <= {LABELLED, 'all'}
        if not fits:
            raise UserError(
                "customize_on: expected 'all' where a customization term is "
                "of unlabelled images, 'labelled' elsewhere, got "
                f'{customize_on!r} and terms of {sorted(seen) or "none"}.'
            )
        view, feature = self.student_view, Source(TEACHER, None, FEATURE)
        width = Shape((view.feature_dim,))
        self.teacher_projection = (
            build_connector(
                'projection', projection, self.shape_of(feature), width
            )
            if self._customizes
            else None
        )
        self.teacher_head = (
            nn.Linear(view.feature_dim, view.num_classes)
            if self._customizes and customization_head == 'teacher'
            else None
        )

    @classmethod
    def schedule_of(
        cls,
        specific_weight: float = 1.0,
        prediction: Optional[dict] = None,
        terms: Optional[Dict[str, dict]] = None,
        schedule: Optional[dict] = None,
        customize_on: str = LABELLED,
        **_: Any,
    ) -> StageSchedule:
        """Returns the stages that one of these options would have."""
        own = own_terms({}, {}, prediction, 0, specific_weight, 0)
        used = customizes({**own, **(terms or {})})
        return stages_of(schedule, used, customize_on)

    def shape_of(self, source: Source) -> Shape:
        """Returns the shape of a place; knows the two outputs more."""
        view = self.student_view
        more = {
            CUSTOMIZED: Shape((view.feature_dim,)),
            CUSTOMIZED_LOGITS: Shape((view.num_classes,)),
        }
        if source[:2] == (TEACHER, None) and source.output in more:
            return more[source.output]
        return super().shape_of(source)

    def sources(self, stage: str) -> List[Source]:
        """Lists the places that a stage looks at."""
        found = super().sources(stage)
        if stage == CUSTOMIZATION or self._customizes:
            found = [
                s for s in found if not s.output.startswith(CUSTOMIZED)
            ] + [Source(TEACHER, None, FEATURE)]
        return found

    def loss_customization(self, batch: Batch) -> Dict[str, torch.Tensor]:
        """Stage 1: customizes the teacher's feature."""
        rows = batch.labelled
        feature = batch.get(f'{TEACHER}.{FEATURE}')
        if self.customize_on == LABELLED:
            feature = feature[rows]
        customized = self.teacher_projection(feature)
        logits = self._classify(customized)
        batch.outputs[TEACHER].more.update(
            customized=customized, customized_logits=logits
        )
        losses = dict(
            loss_customization=self.student_view.supervised_loss(
                logits[rows], batch.samples[rows]
            ),
            teacher_top1=top1(logits[rows], batch.targets[rows]),
        )
        self.add_terms(losses, batch, CUSTOMIZATION)
        return losses

    def loss_distillation(self, batch: Batch) -> Dict[str, torch.Tensor]:
        """Stage 2: distils both features, and whatever else there is."""
        if self._customizes:
            with torch.no_grad():
                customized = self.teacher_projection(
                    batch.get(f'{TEACHER}.{FEATURE}')
                )
                batch.outputs[TEACHER].more.update(
                    customized=customized,
                    customized_logits=self._classify(customized),
                )
        return super().loss_distillation(batch)

    def _taught_logits(self, batch: Batch) -> Optional[torch.Tensor]:
        if self._customizes:
            return batch.get(Source(TEACHER, None, CUSTOMIZED_LOGITS))
        return super()._taught_logits(batch)

    def _classify(self, customized: torch.Tensor) -> torch.Tensor:
        if self.teacher_head is not None:
            return self.teacher_head(customized)
        return self.student_view.classify(customized)
