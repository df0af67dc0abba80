import math

import numpy as np
import pytest
import torch

from mmkd_custom.errors import UserError
from mmkd_custom.models.connectors import MLPConnector
from mmkd_custom.registry import MODELS


def _matrices(connector):
    """Weights and biases as float64 arrays, layer by layer."""
    values = [p.detach().double().numpy() for p in connector.parameters()]
    return list(zip(values[::2], values[1::2]))


def _gelu(values):
    return values * 0.5 * (1 + np.vectorize(math.erf)(values / math.sqrt(2)))


@pytest.mark.parametrize('num_layers', [1, 2, 4])
def test_matches_the_definition(num_layers):
    connector = MODELS.build(
        dict(
            type='MLPConnector',
            in_channels=6,
            out_channels=4,
            hidden_channels=5,
            num_layers=num_layers,
        )
    )
    feature = torch.randn(3, 6)
    values = feature.double().numpy()
    matrices = _matrices(connector)
    assert len(matrices) == num_layers
    for position, (weight, bias) in enumerate(matrices):
        if position > 0:
            values = _gelu(values)
        values = values @ weight.T + bias
    np.testing.assert_allclose(
        connector(feature).detach().numpy(), values, atol=1e-5
    )


def test_the_hidden_width_is_the_outgoing_one():
    shapes = [weight.shape for weight, _ in _matrices(MLPConnector(6, 4))]
    assert shapes == [(4, 6), (4, 4)]


def test_another_activation():
    connector = MLPConnector(6, 4, act_cfg=dict(type='ReLU'))
    (w1, b1), (w2, b2) = _matrices(connector)
    feature = torch.randn(3, 6)
    hidden = np.maximum(feature.double().numpy() @ w1.T + b1, 0)
    np.testing.assert_allclose(
        connector(feature).detach().numpy(), hidden @ w2.T + b2, atol=1e-5
    )


def test_init_cfg_is_followed():
    connector = MLPConnector(
        6,
        4,
        num_layers=2,
        init_cfg=dict(type='Constant', layer='Linear', val=0.0, bias=3.0),
    )
    connector.init_weights()
    assert torch.equal(connector(torch.ones(1, 6)), torch.full((1, 4), 3.0))


def test_a_feature_that_does_not_fit_is_named():
    with pytest.raises(UserError) as error:
        MLPConnector(6, 4)(torch.zeros(3, 5))
    for word in ('MLPConnector', '(3, 5)', '(N, 6)', '(N, 4)', 'in_channels'):
        assert word in str(error.value)


@pytest.mark.parametrize(
    'option', ['in_channels', 'out_channels', 'hidden_channels', 'num_layers']
)
@pytest.mark.parametrize('value', [0, -1, 1.5, '8'])
def test_an_option_that_is_none_is_named(option, value):
    options = dict(in_channels=6, out_channels=4)
    options[option] = value
    with pytest.raises(UserError) as error:
        MODELS.build(dict(type='MLPConnector', **options))
    assert f'MLPConnector: {option}={value!r}' in str(error.value)
