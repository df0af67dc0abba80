"""ScaleKD: a transformer teaches through its own last blocks."""

from __future__ import annotations

from typing import Dict, List, Optional, Sequence, Tuple, Union

import torch
import torch.nn as nn

from ...errors import UserError
from ...registry import MODELS
from ...stages import STUDENT, TEACHER
from ..batch import Batch
from ..options import checked_weight
from ..outputs import TOKENS, Shape
from ..source import Source
from .distiller import Distiller
from .mimicking import VIEWS, Mimicking, weights_of

_LAST = Source(TEACHER, None, TOKENS)


@MODELS.register_module()
class ScaleKD(Distiller):
    r"""ScaleKD (arXiv 2411.06786, NeurIPS 2024).

    For each view v, the original one and the one without its mean, with
    projectors (CAP) of its own, :math:`s_3, s_4` the student's maps,
    :math:`t` the teacher's last tokens, T its frozen rest (TPP)

    .. math::
        p_v &= T_{after+1..until}(CAP_v^3(s_3)) \\
        q_v &= T_{until+1..}(CAP_v^4(s_4; \mathrm{queries} = p_v)) \\
        L &= (1-a) \, CE(z_s, y) + a \, KL(z_t \| z_s)
            + \sum_v w_v^3 D_v(p_v, t) + w_v^4 D_v(q_v, t)

    with D the mean over positions of 2 - 2 cos. Gradients pass through T,
    which is in ``eval()``, and change no weight of it. KL at temperature 1 is
    the paper's soft cross entropy less the teacher's entropy, a constant.
    What is the paper's and what ours: docs/scalekd.md.

    Args:
        student (dict | nn.Module): Any MMPretrain classifier with maps.
        teacher (dict | FrozenTeacher): A TimmTeacher of a ViT, DINOv2,
            DINOv3, EVA, BEiT or Swin, as it is, adapted, probed or cached.
        stage3 (dict, optional): See :class:`~.mimicking.Mimicking`: weights of
            the views, ``num_heads`` and ``scale`` of the projectors. Defaults
            to None.
        stage4 (dict, optional): Likewise. Defaults to None.
        maps (tuple[str, str]): Which of the student's are its stages 3 and 4.
            Defaults to ``('maps.-2', 'maps.-1')``.
        after (int, optional): Block or stage of the teacher, from 0, in whose
            place the student's stage 3 goes. None: of a Swin the third stage,
            of a ViT of up to 12 blocks the last of the first two thirds (7 of
            12), of a deeper one the third from the end (21 of 24), whatever
            ``until`` is. Defaults to None.
        until (int, optional): Last block that T has for stage 3; those
            behind it are for stage 4. None: of a ViT of up to 12 blocks the
            last but one unless ``after`` is given, else all, its
            normalisation included. Defaults to None.
        soft_weight (float): a, from 0 to 1. Defaults to 0.5.
        soft_labels (str): Where z_t is, such as 'probe.logits' for a teacher
            without a head for the classes. Defaults to 'teacher.logits'.
        terms (dict[str, dict], optional): More terms, see :class:`Term`, but
            none named as a view at a place. Defaults to None.
        **kwargs: See :class:`Distiller`.

    Raises:
        UserError: If the teacher cannot resume, or an option is wrong.
    """

    def __init__(
        self,
        student: Union[dict, nn.Module],
        teacher: Union[dict, nn.Module, None] = None,
        stage3: Optional[dict] = None,
        stage4: Optional[dict] = None,
        maps: Sequence[str] = ('maps.-2', 'maps.-1'),
        after: Optional[int] = None,
        until: Optional[int] = None,
        soft_weight: float = 0.5,
        soft_labels: str = f'{TEACHER}.logits',
        terms: Optional[Dict[str, dict]] = None,
        **kwargs,
    ) -> None:
        soft = dict(
            loss=dict(type='mmkd_custom.KLDivergence', temperature=1.0),
            on=(f'{STUDENT}.logits', soft_labels),
            weight=checked_weight('soft_weight', soft_weight, most=1),
        )
        own = dict(soft=soft) if soft_weight else {}
        taken = [f'{p}_{v}' for p in ('stage3', 'stage4') for v in VIEWS]
        if {*taken} & {*(terms or {})}:
            raise UserError(
                f'terms: expected names other than {", ".join(taken)}, whose '
                f'weights are in stage3 and stage4, got {", ".join(terms)}.'
            )
        kwargs.setdefault('supervised_weight', 1 - soft_weight)
        super().__init__(student, teacher, {**own, **(terms or {})}, **kwargs)
        if self.teacher is None:
            raise UserError(
                f'teacher: expected the one named {TEACHER}, which ScaleKD '
                f'resumes, got {sorted(self.teachers) or None}.'
            )
        if isinstance(maps, str) or len(maps) != 2:
            raise UserError(
                f'maps: expected two such as maps.-2, maps.-1, got {maps!r}.'
            )
        self.maps = tuple(Source(STUDENT, None, name) for name in maps)
        middles = self.teacher.middles((self.input_size, self.input_size))
        self.after, self.until = _depths(middles, after, until)
        third, fourth = map(self.shape_of, self.maps)
        last = self.shape_of(_LAST)
        self._grid = last.grid
        asked = [v for v, w in weights_of('stage4', stage4).items() if w]
        self.stage3 = Mimicking(
            'stage3', stage3, third, middles[self.after], asked
        )
        self.stage4 = Mimicking(
            'stage4', stage4, fourth, last, self_query=False
        )

    def sources(self, stage: str) -> List[Source]:
        """Lists the places that a stage looks at."""
        return [*super().sources(stage), *self.maps, _LAST]

    def loss_distillation(self, batch: Batch) -> Dict[str, torch.Tensor]:
        """Labels, soft labels, and both views at both places."""
        losses = super().loss_distillation(batch)
        third, fourth = map(batch.get, self.maps)
        target = batch.get(_LAST)
        for view, project in self.stage3.projectors.items():
            perceived = self._rest(project(third), self.after, self.until)
            if self.stage3.weights[view]:
                losses[f'loss_stage3_{view}'] = self.stage3.loss(
                    view, perceived, target
                )
            if self.stage4.weights[view]:
                found = self.stage4.projectors[view](fourth, perceived)
                if self.until is not None:
                    found = self._rest(found, self.until)
                losses[f'loss_stage4_{view}'] = self.stage4.loss(
                    view, found, target
                )
        return losses

    def _rest(
        self, x: torch.Tensor, after: int, until: Optional[int] = None
    ) -> torch.Tensor:
        """Runs blocks of the frozen teacher; gives tokens (N, L, D)."""
        return self.teacher.resume(x, after, self._grid, until).tokens


def _depths(
    middles: List[Shape], after: Optional[int], until: Optional[int]
) -> Tuple[int, Optional[int]]:
    """Returns where T begins, and where it is parted; see the arguments."""
    count, plain = len(middles), len({*middles}) == 1
    if after is None and plain and count < 3:
        raise UserError(
            'teacher: expected one of three blocks or more, or after=0, got '
            f'{count}.'
        )
    if after is None and plain and count <= 12:
        after = count * 2 // 3 - 1
        until = count - 2 if until is None else until
    elif after is None:
        after = count - 3 if plain else count - 2
    _check('after', after, 0, count - 2)
    if until is not None and not plain:
        raise UserError(
            'until: expected None for a teacher whose stages differ in shape, '
            f'got {until!r}.'
        )
    if until is not None:
        _check('until', until, after, count - 2)
    return after, until


def _check(option: str, value: int, least: int, most: int) -> None:
    if type(value) is not int or not least <= value <= most:
        raise UserError(
            f"{option}: expected the teacher's block or stage {least} to "
            f'{most}, got {value!r}.'
        )
