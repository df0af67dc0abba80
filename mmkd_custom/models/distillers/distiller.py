"""Distillation by a list of terms given in the config."""

from __future__ import annotations

from typing import Dict, Optional, Union

import torch
import torch.nn as nn

from ...errors import UserError
from ...registry import MODELS
from ..batch import Batch, top1
from ..options import checked_weight
from .base import BaseDistiller
from .parts import build_connector

SOURCES = ('feature', 'logits')
STREAMS = ('all', 'labelled', 'unlabelled')


@MODELS.register_module()
class Distiller(BaseDistiller):
    r"""Cross entropy plus any terms between student and teacher, one stage.

    Soft-target distillation, FitNets, logit matching and their mixtures are
    configs of this class. Each term names what it compares:

    .. code:: python

        terms=dict(
            kd=dict(loss=dict(type='KLDivergence', temperature=4.0),
                    on='logits', weight=1.0),
            hint=dict(loss=dict(type='MSE'), on='feature',
                      connector=dict(type='LinearConnector'), weight=20.0))

    and is logged as ``loss_<name>``.

    Args:
        student (dict | nn.Module): Any MMPretrain classifier.
        teacher (dict | FrozenTeacher): The frozen teacher.
        terms (dict[str, dict]): Terms by name. ``loss``: a loss module;
            ``on``: 'feature' (f_s and f_t) or 'logits'; ``connector``: for
            features, a connector from student to teacher width, channels
            inferred (default linear); ``weight`` (default 1.0); ``streams``:
            'all', 'labelled' or 'unlabelled' images (default 'all').
        probe (bool): Whether the teacher's logits come from a linear probe
            on its feature that is trained alongside on the labelled images;
            its gradient reaches neither teacher nor student [ours]. False
            takes the teacher's own logits, which must then have the
            student's number of classes. Defaults to False.
        supervised_weight (float): Weight of the cross entropy on labelled
            images. Defaults to 1.0.
        **kwargs: See :class:`BaseDistiller`.

    Raises:
        UserError: If a term is malformed, or logits are compared that the
            teacher does not have.
    """

    def __init__(
        self,
        student: Union[dict, nn.Module],
        teacher: Union[dict, nn.Module],
        terms: Dict[str, dict],
        probe: bool = False,
        supervised_weight: float = 1.0,
        **kwargs,
    ) -> None:
        checked_weight('supervised_weight', supervised_weight)
        super().__init__(student, teacher, **kwargs)
        view, d_t = self.student_view, self.teacher.feature_dim
        self.supervised_weight = supervised_weight
        self.terms = {
            name: _term(name, dict(term)) for name, term in terms.items()
        }
        self.losses = nn.ModuleDict(
            {
                name: MODELS.build(term['loss'])
                for name, term in self.terms.items()
            }
        )
        self.connectors = nn.ModuleDict(
            {
                name: build_connector(
                    f'terms.{name}.connector',
                    term['connector'],
                    view.feature_dim,
                    d_t,
                )
                for name, term in self.terms.items()
                if term['on'] == 'feature'
            }
        )
        self.probe = nn.Linear(d_t, view.num_classes) if probe else None
        compared = {term['on'] for term in self.terms.values()}
        own = self.teacher.num_classes
        if 'logits' in compared and not probe and own != view.num_classes:
            raise UserError(
                f'terms: logits are compared, but the teacher has '
                f'{own or "no"} classes and the student {view.num_classes}; '
                'set probe=True or give a teacher with a head for them.'
            )
        if probe:
            compared = compared - {'logits'} | {'feature'}
        self.teacher_wants = tuple(sorted(compared))

    def loss_distillation(self, batch: Batch) -> Dict[str, torch.Tensor]:
        """Cross entropy on labelled images plus every configured term."""
        view, samples = self.student_view, batch.labelled_samples
        teacher, teacher_seconds, feature, logits, student_seconds = (
            self.run_both(batch)
        )
        labelled = batch.labelled
        losses = dict(
            loss_ce=self.supervised_weight
            * view.supervised_loss(logits[labelled], samples)
        )
        teacher_logits = teacher.logits
        if self.probe is not None:
            teacher_logits = self.probe(teacher.feature)
            losses['loss_probe'] = view.supervised_loss(
                teacher_logits[labelled], samples
            )
            teacher_logits = teacher_logits.detach()
        targets = batch.targets
        for name, term in self.terms.items():
            chosen = _select(batch, term['streams'])
            if len(chosen) == 0:
                continue
            if term['on'] == 'feature':
                pair = (
                    self.connectors[name](feature[chosen]),
                    teacher.feature[chosen],
                )
            else:
                pair = logits[chosen], teacher_logits[chosen]
            losses[f'loss_{name}'] = term['weight'] * self.losses[name](
                *pair, targets[chosen]
            )
        if teacher_logits is not None:
            losses['teacher_top1'] = top1(teacher_logits[labelled], samples)
        losses.update(
            time_teacher=teacher_seconds, time_student=student_seconds
        )
        return losses


def _term(name: str, term: dict) -> dict:
    known = {'loss', 'on', 'connector', 'weight', 'streams'}
    unknown = set(term) - known
    if unknown or 'loss' not in term:
        raise UserError(
            f'terms.{name}: {sorted(unknown) or "no loss"} given, but the '
            f'keys {sorted(known)} are known and loss is wanted.'
        )
    if not name or '.' in name or hasattr(nn.ModuleDict, name):
        raise UserError(
            f'terms: {name!r} cannot be the name of a term; give another, '
            'such as kd.'
        )
    if name in ('ce', 'probe'):
        raise UserError(
            f'terms.{name}: this name is taken by a term that is always '
            'there; give another.'
        )
    if term.get('on') == 'logits' and 'connector' in term:
        raise UserError(
            f'terms.{name}: a connector is given, but logits need none; drop '
            "it, or compare on='feature'."
        )
    defaults: Dict[str, Optional[object]] = dict(
        on='feature',
        weight=1.0,
        streams='all',
        connector=dict(type='mmkd_custom.LinearConnector'),
    )
    term = {**defaults, **term}
    checked_weight(f'terms.{name}.weight', term['weight'])
    for key, options in (('on', SOURCES), ('streams', STREAMS)):
        if term[key] not in options:
            raise UserError(
                f'terms.{name}.{key}={term[key]!r}, but one of '
                f'{options} is wanted.'
            )
    return term


def _select(batch: Batch, streams: str) -> torch.Tensor:
    """Gives the positions of a stream's images in the batch, (n,) long."""
    if streams == 'all':
        return torch.arange(len(batch.data_samples), device=batch.device)
    return batch.labelled if streams == 'labelled' else batch.unlabelled
