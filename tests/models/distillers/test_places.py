"""A place that does not exist is named beside the nearest, with its shape."""

import pytest

from mmkd_custom.errors import UserError
from mmkd_custom.models.source import Source
from tests.helpers import build_customkd


@pytest.fixture(scope='module')
def model():
    return build_customkd()


@pytest.mark.parametrize(
    'place, named',
    [
        ('student.featur', ["'feature'", 'vector (64,)', "'featur'"]),
        ('teacher.map.0', ["'maps.0'", "'map.0'"]),
        ('batch.target', ["'targets'", 'index ()']),
        ('techer.feature', ["'techer'", "'teacher'"]),
    ],
)
def test_the_nearest_is_named(model, place, named):
    with pytest.raises(UserError) as error:
        model.shape_of(Source.parse(place))
    assert not [word for word in named if word not in str(error.value)]
