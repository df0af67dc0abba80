import pytest
import torch

from mmkd_custom.errors import UserError
from mmkd_custom.models import connectors
from mmkd_custom.models.connectors import LinearConnector
from mmkd_custom.registry import MODELS


def test_every_public_connector_is_registered():
    for name in connectors.__all__:
        assert MODELS.get(f'mmkd_custom.{name}') is getattr(connectors, name)


@pytest.mark.parametrize('bias', [True, False])
def test_is_one_affine_map(bias):
    connector = MODELS.build(
        dict(type='LinearConnector', in_channels=6, out_channels=4, bias=bias)
    )
    parameters = dict(connector.named_parameters())
    assert len(parameters) == 1 + bias
    (weight,) = (p for p in parameters.values() if p.dim() == 2)
    offset = sum(p for p in parameters.values() if p.dim() == 1)
    feature = torch.randn(3, 6)
    torch.testing.assert_close(connector(feature), feature @ weight.T + offset)


def test_starts_as_a_plain_linear_layer():
    torch.manual_seed(3)
    reference = torch.nn.Linear(6, 4)
    torch.manual_seed(3)
    connector = LinearConnector(6, 4)
    connector.init_weights()
    for ours, theirs in zip(connector.parameters(), reference.parameters()):
        assert torch.equal(ours, theirs)


def test_init_cfg_is_followed():
    connector = LinearConnector(
        6, 4, init_cfg=dict(type='Constant', layer='Linear', val=2.0, bias=1.0)
    )
    connector.init_weights()
    assert torch.equal(connector(torch.ones(1, 6)), torch.full((1, 4), 13.0))


def test_an_empty_batch():
    assert LinearConnector(6, 4)(torch.zeros(0, 6)).shape == (0, 4)


def test_gradients_reach_feature_and_weights():
    connector = LinearConnector(6, 4)
    feature = torch.randn(3, 6, requires_grad=True)
    connector(feature).square().sum().backward()
    assert feature.grad.abs().sum() > 0
    assert all(p.grad.abs().sum() > 0 for p in connector.parameters())


@pytest.mark.parametrize('shape', [(3, 5), (6,), (3, 7, 6)])
def test_a_feature_that_does_not_fit_is_named(shape):
    with pytest.raises(UserError) as error:
        LinearConnector(6, 4)(torch.zeros(shape))
    for word in (
        'LinearConnector',
        str(shape),
        '(N, 6)',
        '(N, 4)',
        'in_channels',
    ):
        assert word in str(error.value)


@pytest.mark.parametrize('option', ['in_channels', 'out_channels'])
@pytest.mark.parametrize('value', [0, -3, 2.0, '8', None, True])
def test_a_width_that_is_none_is_named(option, value):
    widths = dict(in_channels=6, out_channels=4)
    widths[option] = value
    with pytest.raises(UserError) as error:
        MODELS.build(dict(type='LinearConnector', **widths))
    assert f'LinearConnector: {option}={value!r}' in str(error.value)
