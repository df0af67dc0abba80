"""What CORAL promises beyond the contract."""

import pytest

from mmkd_custom.errors import UserError
from mmkd_custom.models.losses import CORAL
from mmkd_custom.models.outputs import Shape


def test_labels_are_no_streams():
    loss, feature = CORAL(), Shape((5,))
    loss.check(feature, Shape((), classes=3))
    for classes in (2, 65):
        with pytest.raises(UserError, match='CORAL.*batch.stream'):
            loss.check(feature, Shape((), classes=classes))
