"""One answer to what class a part of a config is of."""

import pytest
from mmengine.config import ConfigDict
from mmengine.hooks import EMAHook

from mmkd_custom.utils.kinds import is_kind, kind_name


@pytest.mark.parametrize(
    'part, name',
    [
        (dict(type='EMAHook'), 'EMAHook'),
        (dict(type='mmengine.EMAHook'), 'EMAHook'),
        (ConfigDict(type=EMAHook), 'EMAHook'),
        ('mmengine.hooks.EMAHook', 'EMAHook'),
        (EMAHook, 'EMAHook'),
        (EMAHook(), 'EMAHook'),
        (dict(interval=1), ''),
        (dict(type=None), ''),
        (None, 'NoneType'),
    ],
)
def test_however_it_is_named(part, name):
    assert kind_name(part) == name
    assert is_kind(part, 'Other', name) and not is_kind(part, 'Other')
