"""What a config misspells is told from what is a defect."""

from pathlib import Path

import pytest
import torch.nn as nn
from mmengine.registry import DefaultScope, Registry

from mmkd_custom.engine.misspelt import naming_misspelt
from mmkd_custom.errors import UserError
from mmkd_custom.registry import DATASETS
from tests.helpers import make_domains

PARTS = Registry('part', scope='test')


@PARTS.register_module()
class Wheel(nn.Module):
    """Takes arguments by name."""

    def __init__(self, radius, spokes=8, *, colour='red'):
        super().__init__()
        self.radius = radius


@PARTS.register_module()
class Tyre(Wheel):
    """Hands what it does not know to its base."""

    def __init__(self, pressure=2.0, **kwargs):
        super().__init__(**kwargs)


@PARTS.register_module()
class Bicycle(nn.Module):
    """Has a part; goes wrong by itself in one of several ways."""

    def __init__(self, wheel, radius=1, fault=None):
        super().__init__()
        self.wheel = PARTS.build(wheel)
        if fault == 'too much':
            Wheel(radius=1, fault=fault)
        elif fault == 'too little':
            Wheel()
        elif fault == 'key':
            {}['radius']
        elif fault == 'forward':
            self.forward(wheel=wheel)

    def forward(self, inputs):
        return inputs


def tell(cfg):
    """The sentence that a part of a config gets."""
    with pytest.raises(UserError) as error, naming_misspelt():
        PARTS.build(cfg)
    assert error.value.__cause__ is not None
    return str(error.value)


@pytest.mark.parametrize(
    'cfg, words',
    [
        (
            dict(type='Wheel', radius=1, spoke=9),
            ['Wheel takes no', "'spoke'", "nearest: 'spokes'"],
        ),
        # Told by the base class, and of arguments of the base class.
        (
            dict(type='Tyre', radius=1, color='blue'),
            ['Tyre takes no', "'color'", "nearest: 'colour'"],
        ),
        (dict(type='Tyre', presure=1), ["'presure'", "nearest: 'pressure'"]),
        # By the part that is built within another.
        (
            dict(type='Bicycle', wheel=dict(type='Wheel', radus=1)),
            ['Wheel takes no', "'radus'", "'radius'"],
        ),
        (dict(type='Wheel'), ["Wheel wants 'radius'"]),
        (dict(type='Tyre', colour='blue'), ["Tyre wants 'radius'"]),
        (dict(type='Wheeel', radius=1), ["type='Wheeel'", 'part', "'Wheel'"]),
        (dict(type='test.Tire'), ["type='test.Tire'", 'part', "'Tyre'"]),
        (dict(radius=1), ['part', 'no type', 'radius']),
        (dict(type=3), ['cannot be built', 'type']),
    ],
)
def test_what_is_misspelt_is_named(cfg, words):
    sentence = tell(cfg)
    for word in words:
        assert word in sentence


@pytest.mark.parametrize(
    'fault, error',
    [
        ('too much', TypeError),
        ('too little', TypeError),
        ('forward', TypeError),
        ('key', KeyError),
    ],
)
def test_what_goes_wrong_in_a_part_is_said_with_its_values(fault, error):
    wheel = dict(type='Wheel', radius=1)
    sentence = tell(dict(type='Bicycle', wheel=wheel, radius=2, fault=fault))
    # Not as a misspelling of what the config gives.
    assert 'takes no argument' not in sentence
    for word in ('Bicycle', 'radius=2', f'fault={fault!r}', error.__name__):
        assert word in sentence
    assert Path(__file__).name in sentence


def test_a_defect_of_what_was_built_passes():
    bicycle = dict(type='Bicycle', wheel=dict(type='Wheel', radius=1))
    with pytest.raises(TypeError), naming_misspelt():
        PARTS.build(bicycle)()
    with pytest.raises(KeyError), naming_misspelt():
        raise KeyError('forward() got an unexpected keyword argument')


def test_datasets_that_do_not_go_together(tmp_path):
    DefaultScope.get_instance('test', scope_name='mmkd_custom')
    root = make_domains(tmp_path, per_class=1)
    (root / 'photo' / 'dog').rename(root / 'photo' / 'hound')
    art, photo = (
        dict(type='DomainFolder', data_root=str(root), domain=name)
        for name in ('art', 'photo')
    )
    for config, words in (
        (
            dict(type='ConcatDataset', datasets=[art, photo]),
            "ConcatDataset: class 'dog'.*'hound'",
        ),
        (
            dict(
                type='mmpretrain.KFoldDataset',
                dataset=dict(type='RepeatDataset', dataset=art, times=2),
            ),
            'RepeatDataset: .*get_subset',
        ),
    ):
        with pytest.raises(UserError, match=words), naming_misspelt():
            DATASETS.build(config)
