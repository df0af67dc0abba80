"""What every registered connector promises; a new one needs a case."""

import itertools

import pytest
import torch
from torch.nn.utils.parametrize import is_parametrized

from mmkd_custom.errors import UserError
from mmkd_custom.models.connectors import Connector
from mmkd_custom.models.connectors.base import fitting
from mmkd_custom.models.outputs import Shape
from mmkd_custom.registry import MODELS

SHAPES = [
    *(Shape((6,)), Shape((4,)), Shape(()), Shape((), classes=3)),
    *(Shape((6, 8)), Shape((6, 8), (2, 3)), Shape((6, 4), (2, 3))),
    *(Shape((8, 5), (4, 2)), Shape((3, 2, 5)), Shape((7, 3, 3))),
]
CASES = [
    *(('LinearConnector', options) for options in ({}, dict(bias=False))),
    ('MLPConnector', {}),
    ('MLPConnector', dict(hidden_channels=3, num_layers=1)),
    ('MLPConnector', dict(num_layers=3, act_cfg=dict(type='ReLU'))),
    ('SpatialConnector', {}),
    ('SpatialConnector', dict(norm_cfg=dict(type='BN'))),
    ('Discriminator', {}),
    ('Discriminator', dict(hidden_channels=[5], reverse=False)),
    ('OrthogonalConnector', {}),
    ('ResidualConnector', {}),
    ('ResidualConnector', dict(scale=2.0, hidden_channels=3)),
    ('QueryConnector', {}),
    ('CrossAttentionConnector', {}),
    ('CrossAttentionConnector', dict(num_heads=1, scale=5.0)),
    ('PrototypeConnector', {}),
    ('PrototypeConnector', dict(num_prototypes=3, temperature=0.1)),
    (
        'MLPConnector',
        dict(expansion=2, norm_cfg=dict(type='BN1d'), bias=False),
    ),
]
WIDTHS = [
    'LinearConnector',
    'MLPConnector',
    'OrthogonalConnector',
    'PrototypeConnector',
]
GRIDS = ['CrossAttentionConnector', 'QueryConnector', 'SpatialConnector']
NAMES = sorted({name for name, _ in CASES})


def sides(connector, source, target):
    """Returns random inputs of a connector."""
    x = torch.randn(2, *source.sizes, requires_grad=True)
    seen = torch.randn(2, *target.sizes) if connector.sees_target else None
    return (x,) if seen is None else (x, seen)


def _registered():
    return {
        name: cls
        for name, cls in MODELS.module_dict.items()
        if isinstance(cls, type) and issubclass(cls, Connector)
    }


def test_every_registered_connector_has_a_case():
    assert set(_registered()) == {name for name, _ in CASES}


@pytest.mark.parametrize('name, options', CASES)
def test_what_fits_is_built_and_gives_its_shape(name, options):
    cls = MODELS.get(name)
    fit = [
        pair for pair in itertools.product(SHAPES, SHAPES) if cls.fits(*pair)
    ]
    assert fit
    for source, target in fit:
        torch.manual_seed(0)
        connector = cls(source, target, **options)
        inputs = sides(connector, source, target)
        y = connector(*inputs)
        assert y.shape == (2, *connector.gives_shape.sizes)
        y.square().sum().backward()
        assert inputs[0].grad is not None
        for parameter in connector.parameters():
            assert parameter.grad is not None
        assert connector.eval()(*(x[:0] for x in inputs)).shape[0] == 0
        with torch.autocast('cpu', dtype=torch.bfloat16):
            assert connector(*inputs).isfinite().all()
        assert f'{source} -> {connector.gives_shape}' in repr(connector)
        assert source.kind in cls.takes and target.kind in cls.gives


@pytest.mark.parametrize('name', NAMES)
def test_what_does_not_fit_is_refused_with_both_shapes_named(name):
    cls = MODELS.get(name)
    for source, target in itertools.product(SHAPES, SHAPES):
        assert cls.fits(source, target) == (name in fitting(source, target))
        if not cls.fits(source, target):
            with pytest.raises(UserError) as error:
                cls(source, target)
            for word in (name, f'{source} -> {target}'):
                assert word in str(error.value)


@pytest.mark.parametrize('name', NAMES)
def test_init_cfg_is_followed(name):
    for source, target in itertools.product(SHAPES, SHAPES):
        if MODELS.get(name).fits(source, target):
            break
    layers = ['Linear', 'Conv2d']
    init = dict(type='Constant', layer=layers, val=2.0, bias=3.0)
    connector = MODELS.get(name)(source, target, init_cfg=init)
    connector.init_weights()
    for layer in connector.modules():
        # What is constrained follows nothing else.
        if type(layer).__name__ in layers and not is_parametrized(layer):
            assert (layer.weight == 2).all() and (layer.bias == 3).all()


@pytest.mark.parametrize(
    'source, target, names',
    [
        (SHAPES[0], SHAPES[1], WIDTHS),
        (SHAPES[0], SHAPES[3], ['Discriminator']),
        (SHAPES[4], SHAPES[4], [*WIDTHS, 'ResidualConnector']),
        (SHAPES[7], SHAPES[8], GRIDS),
        (SHAPES[0], SHAPES[8], []),
    ],
)
def test_the_connectors_that_fit_are_found(source, target, names):
    assert fitting(source, target) == names


@pytest.mark.parametrize('value', [0, -3, 2.0, '8', None, True])
@pytest.mark.parametrize(
    'name, option',
    [
        *itertools.product(
            ('LinearConnector', 'MLPConnector'), ('source', 'target')
        ),
        ('MLPConnector', 'hidden_channels'),
        ('MLPConnector', 'num_layers'),
        ('MLPConnector', 'expansion'),
        ('PrototypeConnector', 'num_prototypes'),
    ],
)
def test_a_wrong_size_is_named(name, option, value):
    if option in ('hidden_channels', 'expansion') and value is None:
        value = 'None'
    with pytest.raises(UserError) as error:
        MODELS.build({'type': name, 'source': 6, 'target': 4, option: value})
    assert f'{name}.{option}' in str(error.value)
    assert repr(value) in str(error.value)
