"""DIME-FM: a vision-language model distilled by images and texts, unpaired."""

from __future__ import annotations

from typing import Any, Dict, List, Optional, Union

import torch
import torch.nn as nn
import torch.nn.functional as F
from mmpretrain.structures import DataSample

from ...errors import UserError
from ...registry import MODELS
from ...stages import DISTILLATION, STUDENT, TEACHER
from ..batch import Batch
from ..losses.relations import (
    ImageDistanceKL,
    PseudoVisionLanguageKL,
    VisionLanguageKL,
)
from ..networks import TextCorpus
from ..options import checked_weight
from ..outputs import FEATURE, LOGITS
from ..source import Source
from .distiller import Distiller

#: The name of the network that draws texts.
TEXT = 'text'
#: The losses that it has itself.
OWN = ('vl', 'pvl', 'udist')


@MODELS.register_module()
class DIMEFM(Distiller):
    r"""DIME-FM (arXiv 2303.18232): an image tower for the teacher's texts.

    The student's last linear layer is the projection into the space of the
    teacher's embeddings, so that what a plain classifier calls logits is
    :math:`s_I`. With :math:`t_I, t_T` the teacher's embeddings of the images
    and of texts that have nothing to do with them:

    .. math:: L = 0.7 L_{vl} + 0.3 L_{pvl} + 0 L_{udist}

    see :mod:`~mmkd_custom.models.losses.relations.dime_fm`. No label is read,
    and the student alone is trained: backbone and projection. After the
    training it stands beside the teacher's text tower
    (``tools/zero_shot.py``). What of this is the paper's: docs/dime_fm.md.

    Args:
        student (dict | nn.Module): Any MMPretrain classifier whose head has as
            many "classes" as the teacher's embedding has dimensions.
        teacher (dict | FrozenTeacher): One with a text tower, such as an
            ``OpenCLIPTeacher``.
        vl_weight (float): Weight of L_vl; 0 switches the term off. Defaults
            to 0.7.
        pvl_weight (float): Of L_pvl, likewise. Defaults to 0.3.
        udist_weight (float): Of L_udist, likewise. Defaults to 0.0.
        logit_scale (float): What cosines are multiplied with. Defaults to
            100.0.
        terms (dict[str, dict], optional): More terms, see :class:`Term`.
            Defaults to None.
        **kwargs: See :class:`Distiller`; ``networks`` has a ``text``, a
            :class:`~mmkd_custom.models.networks.TextCorpus`, for L_vl.

    Raises:
        UserError: If an option is wrong, there is no network ``text`` or it
            embeds texts by another teacher, or the student's embedding is of
            another width than the teacher's.
    """

    # Its last layer gives an embedding.
    classifies = False

    def __init__(
        self,
        student: Union[dict, nn.Module],
        teacher: Union[dict, nn.Module, None] = None,
        vl_weight: float = 0.7,
        pvl_weight: float = 0.3,
        udist_weight: float = 0.0,
        logit_scale: float = 100.0,
        terms: Optional[Dict[str, dict]] = None,
        **kwargs: Any,
    ) -> None:
        if kwargs.get('mixup') is not None:
            raise UserError(
                'mixup: expected None for DIMEFM, whose texts belong to no '
                f'image, got {kwargs["mixup"]!r}.'
            )
        for name in terms or {}:
            if name in OWN:
                raise UserError(
                    f'terms.{name}: expected another name than those of '
                    f"DIMEFM's own losses, {', '.join(OWN)}, got {name!r}."
                )
        super().__init__(
            student, teacher, terms, supervised_weight=0.0, **kwargs
        )
        self.vl_weight = checked_weight('vl_weight', vl_weight)
        self.pvl_weight = checked_weight('pvl_weight', pvl_weight)
        self.udist_weight = checked_weight('udist_weight', udist_weight)
        self.vl = VisionLanguageKL(scale=logit_scale)
        self.pvl = PseudoVisionLanguageKL(scale=logit_scale)
        self.udist = ImageDistanceKL(scale=logit_scale)
        if vl_weight:
            self._check_text()
        widths = [self.shape_of(place).width for place in self._places()]
        if len({*widths}) > 1:
            raise UserError(
                f'student.head.num_classes: expected {widths[1]}, the width '
                f"of the teacher's embedding, got {widths[0]}"
                + (f' (texts: {widths[2]}).' if widths[2:] else '.')
            )

    def _check_text(self) -> None:
        if TEXT not in self.networks:
            raise UserError(
                "networks: expected text=dict(type='TextCorpus', file=...), "
                'of which L_vl draws its texts, got '
                f'{", ".join(self.networks) or "none"}.'
            )
        text = self.networks[TEXT]
        if not isinstance(text, TextCorpus):
            raise UserError(
                f'networks.{TEXT}: expected a TextCorpus, of which L_vl draws '
                f'its texts, got a {type(text).__name__}.'
            )
        if text.of_teacher != TEACHER:
            raise UserError(
                f'networks.{TEXT}.of: expected {TEACHER!r}, whose images its '
                f'texts are compared with, got {text.of_teacher!r}.'
            )

    def _places(self) -> List[Source]:
        """Lists what the losses look at: the student's, then the teacher's."""
        places = [
            Source(STUDENT, None, LOGITS),
            Source(TEACHER, None, FEATURE),
        ]
        return places + [Source(TEXT, None, FEATURE)] * (self.vl_weight > 0)

    def sources(self, stage: str) -> List[Source]:
        """Lists the places that a stage looks at."""
        own = self._places() if stage == DISTILLATION else []
        return own + super().sources(stage)

    def forward(
        self,
        inputs: Optional[torch.Tensor],
        data_samples: Optional[List[DataSample]] = None,
        mode: str = 'tensor',
        views: Optional[Dict[str, torch.Tensor]] = None,
    ) -> Union[torch.Tensor, Dict[str, torch.Tensor]]:
        """Runs the student, or computes the losses; see the base class.

        Raises:
            UserError: If ``mode`` is 'predict': dimensions are no classes.
        """
        if mode == 'predict':
            raise UserError(
                'DIMEFM: expected to be evaluated by tools/zero_shot.py, as '
                'its student gives an embedding and no classes, got '
                f'mode={mode!r}.'
            )
        return super().forward(inputs, data_samples, mode, views)

    def loss_distillation(self, batch: Batch) -> Dict[str, torch.Tensor]:
        """Adds the three losses, as far as they have a weight, and terms."""
        student = batch.get(f'{STUDENT}.{LOGITS}')
        teacher = batch.get(f'{TEACHER}.{FEATURE}')
        losses: Dict[str, torch.Tensor] = {}
        if self.vl_weight:
            text = batch.get(f'{TEXT}.{FEATURE}')
            losses['loss_vl'] = self.vl_weight * self.vl(
                student, teacher, text
            )
        if self.pvl_weight:
            losses['loss_pvl'] = self.pvl_weight * self.pvl(student, teacher)
        if self.udist_weight:
            losses['loss_udist'] = self.udist_weight * self.udist(
                student, teacher
            )
        self.add_terms(losses, batch, DISTILLATION)
        cosine = F.cosine_similarity(student.detach().float(), teacher)
        losses['image_cosine'] = cosine.mean()
        return losses
