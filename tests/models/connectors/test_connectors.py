"""What each connector computes."""

import math

import pytest
import torch
import torch.nn.functional as F

from mmkd_custom.errors import UserError
from mmkd_custom.models.connectors import (
    Discriminator,
    LinearConnector,
    MLPConnector,
    SpatialConnector,
)
from mmkd_custom.models.losses import CrossEntropy
from mmkd_custom.models.outputs import Shape


def _layers(*widths):
    torch.manual_seed(3)
    return [torch.nn.Linear(*pair) for pair in zip(widths, widths[1:])]


@pytest.mark.parametrize(
    'build, widths',
    [
        (lambda: LinearConnector(6, 4), (6, 4)),
        (lambda: MLPConnector(6, 4), (6, 4, 4)),
        (lambda: MLPConnector(6, 4, 5, num_layers=4), (6, 5, 5, 5, 4)),
    ],
)
def test_channels_pass_through_linear_layers_drawn_in_order(build, widths):
    torch.manual_seed(3)
    connector = build()
    connector.init_weights()
    x = y = torch.randn(3, 6)
    for position, layer in enumerate(_layers(*widths)):
        y = layer(F.gelu(y) if position else y)
    assert torch.equal(connector(x), y)


def test_tokens_pass_one_by_one():
    connector = LinearConnector(Shape((5, 6)), Shape((5, 4)))
    x = torch.randn(2, 5, 6)
    torch.testing.assert_close(connector(x)[:, 3], connector(x[:, 3]))


MAP, TOKENS = Shape((3, 4, 4)), Shape((16, 3), (4, 4))


@pytest.mark.parametrize('source', [MAP, TOKENS])
@pytest.mark.parametrize(
    'grid, expected',
    [
        ((4, 4), lambda x: x),
        ((2, 1), lambda x: F.avg_pool2d(x, (2, 4))),
        ((8, 6), lambda x: F.interpolate(x, (8, 6), mode='bilinear')),
        (
            (2, 8),
            lambda x: F.interpolate(
                F.avg_pool2d(x, (2, 1)), (2, 8), mode='bilinear'
            ),
        ),
    ],
)
def test_grids_are_pooled_down_and_interpolated_up(source, grid, expected):
    x = torch.randn(2, 3, 4, 4)
    given = x if source is MAP else x.flatten(2).transpose(1, 2)
    length = grid[0] * grid[1]
    for target in (Shape((3, *grid)), Shape((length, 3), grid)):
        connector = SpatialConnector(source, target)
        torch.nn.init.dirac_(connector.project[0].weight)
        torch.nn.init.zeros_(connector.project[0].bias)
        y = expected(x)
        if target.kind == 'tokens':
            y = y.flatten(2).transpose(1, 2)
        torch.testing.assert_close(connector(given), y)


def test_a_norm_takes_the_place_of_the_bias():
    connector = SpatialConnector(MAP, TOKENS, norm_cfg=dict(type='BN'))
    y = connector(torch.randn(8, 3, 4, 4))
    assert y.mean((0, 1)).abs().max() < 1e-5
    assert connector.project[0].bias is None


def test_discriminator_without_weights_cannot_tell():
    connector = Discriminator(1000, Shape((), classes=2))
    widths = [p.shape[0] for p in connector.parameters() if p.dim() == 2]
    assert widths == [125, 15, 2]
    for parameter in connector.parameters():
        torch.nn.init.zeros_(parameter)
    loss = CrossEntropy()(
        connector(torch.randn(4, 1000)), torch.tensor([0, 1, 1, 0])
    )
    assert loss.item() == pytest.approx(math.log(2))


def test_discriminator_reverses_the_gradient_of_its_input_alone():
    target, index = Shape((), classes=3), torch.tensor([0, 2, 1])
    gradients = []
    for reverse in (True, False):
        torch.manual_seed(0)
        connector = Discriminator(20, target, reverse=reverse)
        x = torch.randn(3, 20, requires_grad=True)
        CrossEntropy()(connector(x), index).backward()
        gradients.append([x.grad, *(p.grad for p in connector.parameters())])
    for position, (ours, plain) in enumerate(zip(*gradients)):
        assert plain.abs().sum() > 0
        assert torch.equal(ours, plain if position else -plain)


@pytest.mark.parametrize('hidden', [0, [8, 0], ['8']])
def test_discriminator_names_a_wrong_width(hidden):
    with pytest.raises(UserError) as error:
        Discriminator(6, Shape((), classes=2), hidden_channels=hidden)
    assert 'Discriminator.hidden_channels' in str(error.value)
