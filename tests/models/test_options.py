"""A weight is a finite number that is not negative, wherever it is set."""

import math

import pytest

from mmkd_custom.errors import UserError
from mmkd_custom.models import CustomKD, Distiller
from mmkd_custom.models.losses import DKD
from mmkd_custom.models.options import checked_weight

WRONG = [math.nan, math.inf, -math.inf, -0.1, True, '1', None]


@pytest.mark.parametrize('weight', [0, 1, 2.5])
def test_what_is_a_weight_stays_as_it_is(weight):
    assert checked_weight('weight', weight) is weight


@pytest.mark.parametrize('weight', WRONG)
@pytest.mark.parametrize(
    'option, build',
    [
        ('DKD.alpha', lambda w: DKD(alpha=w)),
        ('DKD.beta', lambda w: DKD(beta=w)),
        *(
            (name, lambda w, name=name: CustomKD(None, None, **{name: w}))
            for name in (
                'general_weight',
                'specific_weight',
                'prediction_weight',
            )
        ),
        (
            'supervised_weight',
            lambda w: Distiller(None, None, {}, supervised_weight=w),
        ),
    ],
)
def test_anything_else_is_refused(option, build, weight):
    with pytest.raises(UserError, match=f'{option}.*{weight!r}'):
        build(weight)
