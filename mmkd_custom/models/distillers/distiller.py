"""Distillation by a list of terms given in the config."""

from __future__ import annotations

from typing import Dict, List, Optional, Tuple, Union

import torch
import torch.nn as nn
from mmengine.model import ModuleDict

from ...errors import UserError
from ...registry import MODELS
from ...stages import DISTILLATION, STUDENT
from ..batch import Batch, top1
from ..options import checked_weight
from ..outputs import LOGITS
from ..source import Source, merge_wants
from .base import BaseDistiller
from .dropping import TermDropping
from .term import Term


@MODELS.register_module()
class Distiller(BaseDistiller):
    r"""Cross entropy plus any terms between what networks say.

    Soft-target distillation, FitNets, logit matching and their mixtures are
    configs of this class, and so are several teachers, feature maps, strong
    views and averaged students:

    .. code:: python

        terms=dict(
            kd=dict(loss=dict(type='KLDivergence', temperature=4.0),
                    on='logits', weight=dict(type='Ramp', to=1.0, over=0.1)),
            hint=dict(loss=dict(type='MSE'),
                      on=('student.maps.2', 'teacher.maps.2'),
                      connector=dict(type='SpatialConnector'), weight=50.0))

    Args:
        student (dict | nn.Module): Any MMPretrain classifier.
        teacher (dict | FrozenTeacher, optional): The frozen teacher. Defaults
            to None: a baseline without one has no terms.
        terms (dict[str, dict], optional): Terms by name, see :class:`Term`;
            each is logged as ``loss_<name>``; None switches one off that
            another config has. Defaults to None.
        supervised_weight (float): Weight of the student's own loss on
            labelled images, logged as ``loss_ce``; 0 needs no labels.
            Defaults to 1.0.
        dropping (dict, optional): Options of
            :class:`~.dropping.TermDropping`, among the terms of several
            teachers. Defaults to None, none is dropped.
        **kwargs: See :class:`BaseDistiller`.

    Raises:
        UserError: If a term is malformed, or an option wrong.
    """

    def __init__(
        self,
        student: Union[dict, nn.Module],
        teacher: Union[dict, nn.Module, None] = None,
        terms: Optional[Dict[str, dict]] = None,
        supervised_weight: float = 1.0,
        dropping: Optional[dict] = None,
        **kwargs,
    ) -> None:
        checked_weight('supervised_weight', supervised_weight)
        super().__init__(student, teacher, **kwargs)
        self.supervised_weight = supervised_weight
        self.needs_labels = supervised_weight > 0
        stages = [stage.name for stage in self.schedule.stages]
        for name, cfg in (terms or {}).items():
            if cfg is None:
                continue
            term = Term(name, cfg, self.shape_of, self.teachers)
            if term.stage not in stages:
                raise UserError(
                    f'terms.{name}.stage: expected one of {stages}, got '
                    f'{term.stage!r}.'
                )
            children = f'{term.stage}_terms'
            if not hasattr(self, children):
                self.add_module(children, ModuleDict())
            getattr(self, children)[name] = term
        self.dropping: Optional[TermDropping] = None
        if dropping is not None:
            self.dropping = TermDropping(**dropping)
            self.dropping.check(list(self.terms()))
        self.stage_modules = {
            stage: (*children, f'{stage}_terms')
            for stage, children in self.stage_modules.items()
        }

    def terms(self, stage: str = DISTILLATION) -> Dict[str, Term]:
        """Returns the terms of a stage by name."""
        return dict(getattr(self, f'{stage}_terms', {}))

    def sources(self, stage: str) -> List[Source]:
        """Lists the places that a stage looks at."""
        found = [s for t in self.terms(stage).values() for s in t.sources]
        if stage == DISTILLATION and self.supervised_weight > 0:
            found.append(Source(STUDENT, None, LOGITS))
        return found

    def wants(self, stage: str) -> Dict[str, Tuple[str, ...]]:
        """Returns what each network is asked: what the terms look at.

        Teachers come first, then the student, then owned networks, which may
        need what the others say.
        """
        sources = self.sources(stage)
        # One may need what an earlier one says.
        for name in reversed(list(self.networks)):
            for view in {s.view: None for s in sources if s.network == name}:
                sources += self.networks[name].needs(view)
        ranks = {name: i + 2 for i, name in enumerate(self.networks)}
        ranks[STUDENT] = 1
        return dict(
            sorted(
                merge_wants(sources).items(),
                key=lambda item: ranks.get(item[0].partition('@')[0], 0),
            )
        )

    def add_terms(
        self, losses: Dict[str, torch.Tensor], batch: Batch, stage: str
    ) -> None:
        """Adds the terms of a stage to what is logged and summed.

        Args:
            losses (dict[str, Tensor]): Gets ``loss_<name>`` of each.
            batch (Batch): With what the networks have said.
            stage (str): The stage.
        """
        for name, term in self.terms(stage).items():
            value = term(batch, self.progress)
            if value is not None:
                losses[f'loss_{name}'] = value
        if self.dropping is not None and stage == DISTILLATION:
            self.dropping(losses)

    def loss_distillation(self, batch: Batch) -> Dict[str, torch.Tensor]:
        """The student's own loss on labelled images plus every term."""
        losses: Dict[str, torch.Tensor] = {}
        if self.supervised_weight > 0:
            losses['loss_ce'] = (
                self.supervised_weight
                * self.student_view.supervised_loss(
                    batch.get(f'{STUDENT}.{LOGITS}')[batch.labelled],
                    batch.samples[batch.labelled],
                )
            )
        self.add_terms(losses, batch, DISTILLATION)
        taught = self._taught_logits(batch)
        if taught is not None and batch.labelled.stop:
            losses['teacher_top1'] = top1(
                taught[batch.labelled], batch.targets[batch.labelled]
            )
        return losses

    def _taught_logits(self, batch: Batch) -> Optional[torch.Tensor]:
        """Returns the first target that is what another knows of the task.

        Neither logits of other classes, as a source model's, nor those of a
        head on what the student says itself.
        """
        for right in (term.right for term in self.terms().values()):
            if right.network == STUDENT or 'logits' not in right.output:
                continue
            of = getattr(self.network(right.network), 'of', ())
            logits = batch.get(right)
            if logits.shape[1:] == (
                self.student_view.num_classes,
            ) and STUDENT not in {source.network for source in of}:
                return logits
        return None
