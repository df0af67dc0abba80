"""Weights that wait for what is found before the first step."""

import math

import pytest

from mmkd_custom.errors import UserError
from mmkd_custom.models.distillers import TrustedWeight


@pytest.mark.parametrize(
    'found, weight', [(0.8, 0.5), (0.79, 0.0), (-0.2, 0.0), (math.nan, 0.5)]
)
def test_a_weight_is_kept_where_the_probe_knows_enough(found, weight):
    trusted = TrustedWeight(weight=0.5)
    with pytest.raises(UserError, match='TrustedWeight.of'):
        trusted(0.0)
    trusted.found = found
    assert trusted(0.0) == trusted(1.0) == weight


@pytest.mark.parametrize(
    'options', [dict(weight=-1.0), dict(kappa=1.1), dict(kappa=None)]
)
def test_a_wrong_option_is_named(options):
    with pytest.raises(
        UserError, match=f'TrustedWeight.{next(iter(options))}'
    ):
        TrustedWeight(**options)
