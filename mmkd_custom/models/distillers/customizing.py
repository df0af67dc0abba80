"""Which terms and which stages a CustomKD of some options has."""

from __future__ import annotations

from typing import Dict, Optional, Union

from ...errors import UserError
from ...stages import (
    CUSTOMIZATION,
    DISTILLATION,
    LABELLED,
    TEACHER,
    UNLABELLED,
    Stage,
    StageSchedule,
)

CUSTOMIZED, CUSTOMIZED_LOGITS = 'more.customized', 'more.customized_logits'


def customizes(terms: Dict[str, dict]) -> bool:
    """Whether any term looks at the customized feature or its logits."""
    return any(CUSTOMIZED in str(term) for term in terms.values())


def own_terms(
    feature_loss: dict,
    projection: dict,
    prediction: Optional[dict],
    general_weight: float,
    specific_weight: float,
    prediction_weight: Union[float, dict],
) -> Dict[str, dict]:
    """Returns the terms of the paper that are switched on."""
    terms = {}
    if general_weight > 0:
        terms['general'] = dict(
            loss=feature_loss, connector=projection, weight=general_weight
        )
    if specific_weight > 0:
        terms['specific'] = dict(
            loss=feature_loss,
            on=('student.feature', f'{TEACHER}.{CUSTOMIZED}'),
            weight=specific_weight,
        )
    if prediction is not None:
        terms['prediction'] = dict(
            loss=prediction,
            on=('student.logits', f'{TEACHER}.{CUSTOMIZED_LOGITS}'),
            weight=prediction_weight,
        )
    return terms


def stages_of(
    lengths: Optional[dict], customizes: bool, customize_on: str
) -> StageSchedule:
    """Returns the schedule; without customization there is one stage.

    Raises:
        UserError: If a stage of the config is none, or has no epoch.
    """
    lengths = dict(lengths or {CUSTOMIZATION: 1, DISTILLATION: 1})
    unknown = set(lengths) - {CUSTOMIZATION, DISTILLATION}
    if unknown:
        raise UserError(
            f'schedule: expected epochs of {CUSTOMIZATION!r} and '
            f'{DISTILLATION!r}, got {sorted(unknown)[0]!r}.'
        )
    streams = (
        (LABELLED,) if customize_on == LABELLED else (LABELLED, UNLABELLED)
    )
    stages = StageSchedule(
        [
            Stage(CUSTOMIZATION, lengths.get(CUSTOMIZATION, 0), streams),
            Stage(DISTILLATION, lengths.get(DISTILLATION, 0)),
        ]
    )
    if not customizes:
        # Nothing uses the customized feature, so no epoch is spent on it.
        return StageSchedule([Stage(DISTILLATION)])
    for name in (CUSTOMIZATION, DISTILLATION):
        if stages.count(name, stages.period) == 0:
            raise UserError(
                f'schedule: expected at least one epoch of {name!r}, got '
                f'{lengths}.'
            )
    return stages
