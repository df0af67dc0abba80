"""What a config misspells is told from what is a defect."""

import pytest
import torch.nn as nn
from mmengine.registry import DefaultScope

from mmkd_custom.engine.building import naming_misspelt
from mmkd_custom.errors import UserError
from mmkd_custom.registry import DATASETS, MODELS
from tests.helpers import make_domains


class Wheel(nn.Module):
    """Takes arguments by name."""

    def __init__(self, radius, spokes=8, *, colour='red'):
        super().__init__()
        if not isinstance(radius, (int, float)):
            raise ValueError(f'radius {radius}')


class Tyre(Wheel):
    """Hands what it does not know to its base."""

    def __init__(self, pressure=2.0, **kwargs):
        super().__init__(**kwargs)


class Bicycle(nn.Module):
    """Has a part."""

    def __init__(self, wheel):
        super().__init__()
        self.wheel = MODELS.build(wheel)

    def forward(self, inputs):
        return inputs


@pytest.fixture(autouse=True)
def parts(monkeypatch):
    for kind in (Wheel, Tyre, Bicycle):
        monkeypatch.setitem(MODELS.module_dict, kind.__name__, kind)


@pytest.mark.parametrize(
    'config, words',
    [
        (dict(type='Wheel', radius=1, spoke=9), ['Wheel', "'spokes'"]),
        # Told by the base class, and of arguments of the base class.
        (dict(type='Tyre', radius=1, color=1), ['Tyre', "nearest: 'colour'"]),
        (dict(type='Tyre', presure=1), ["'presure'", "nearest: 'pressure'"]),
        # By the part that is built within another.
        (
            dict(type='Bicycle', wheel=dict(type='Wheel', radus=1)),
            ['wheel.radus', 'Wheel', "'radius'"],
        ),
        (dict(type='Wheel'), ['Wheel', "'radius'"]),
        (dict(type='Tyre', colour='blue'), ['Tyre', "'radius'"]),
        (dict(type='Wheeel', radius=1), ["type='Wheeel'", 'model', "'Wheel'"]),
        (
            dict(type='Bicycle', wheel=dict(type='mmkd_custom.Tire')),
            ["wheel.type='mmkd_custom.Tire'", "'Tyre'"],
        ),
        (dict(radius=1), ['type', 'radius']),
        (dict(type=3), ['cannot be built', 'type']),
        (dict(type='Wheel', radius='abc'), ['ValueError', 'abc', 'test_bu']),
    ],
)
def test_what_cannot_be_built_is_named(config, words):
    with pytest.raises(UserError) as error, naming_misspelt(config):
        MODELS.build(config)
    for word in words:
        assert word in str(error.value)


@pytest.mark.parametrize(
    'defect',
    [
        TypeError("forward() got an unexpected keyword argument 'wheel'"),
        TypeError("__init__() missing 1 required positional argument: 'x'"),
        KeyError('wheel'),
        ValueError('radius'),
    ],
)
def test_defect_of_what_was_built_passes(defect):
    config = dict(type='Bicycle', wheel=dict(type='Wheel', radius=1))
    with pytest.raises(type(defect)):
        with naming_misspelt(config, building=lambda: False):
            raise defect


def test_datasets_that_do_not_go_together(tmp_path):
    DefaultScope.get_instance('test', scope_name='mmkd_custom')
    root = make_domains(tmp_path, per_class=1)
    (root / 'photo' / 'dog').rename(root / 'photo' / 'hound')
    art, photo = (
        dict(type='DomainFolder', data_root=str(root), domain=name)
        for name in ('art', 'photo')
    )
    config = dict(type='ConcatDataset', datasets=[art, photo])
    with pytest.raises(UserError, match='meta'), naming_misspelt(config):
        DATASETS.build(config)
