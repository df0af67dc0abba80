"""Tests of reading vectors, tokens and maps out of timm's networks."""

from __future__ import annotations

import pytest
import timm
import torch
import torch.nn as nn

from mmkd_custom.errors import UserError
from mmkd_custom.models.teachers.timm.features import (
    VECTORS,
    choose_maps,
    is_plain,
    read_tokens,
    read_vector,
    reductions,
)


class Network(nn.Module):
    """What these functions ask of a network, and nothing else."""

    def __init__(self, stride=16, prefix=0, **attributes) -> None:
        super().__init__()
        self.feature_info = [dict(reduction=stride)]
        self.num_prefix_tokens = prefix
        for name, value in attributes.items():
            setattr(self, name, value)

    def forward_head(self, x, pre_logits=False):
        return x[:, 0] * (2 if pre_logits else 3)


def tokens(count: int) -> torch.Tensor:
    """(2, count, 3), where each number says its image and its place."""
    place = torch.arange(2.0 * count).view(2, count, 1)
    return place + torch.tensor([0.0, 0.25, 0.5])


def parameter(*shape: int) -> nn.Parameter:
    return nn.Parameter(torch.ones(shape))


def dinov2() -> Network:
    return Network(
        prefix=3, cls_token=parameter(1, 1, 3), reg_token=parameter(1, 2, 3)
    )


def test_tokens_of_a_transformer():
    x = tokens(3 + 6)
    found = read_tokens(dinov2(), x, (32, 48))
    assert found.grid == (2, 3)
    assert torch.equal(found.cls, x[:, 0])
    assert torch.equal(found.registers, x[:, 1:3])
    assert torch.equal(found.patches, x[:, 3:])


def test_distillation_token_is_no_register():
    network = Network(prefix=2, cls_token=parameter(1, 1, 3))
    found = read_tokens(network, tokens(2 + 4), (32, 32))
    assert found.registers is None and found.patches.shape == (2, 4, 3)


def test_registers_without_a_class_token():
    network = Network(prefix=2, reg_token=parameter(1, 2, 3))
    found = read_tokens(network, tokens(2 + 4), (32, 32))
    assert found.cls is None
    assert torch.equal(found.registers, tokens(6)[:, :2])


def test_network_that_normalises_after_pooling_normalises_every_token():
    norm = nn.LayerNorm(3)
    network = Network(norm=nn.Identity(), fc_norm=norm)
    x = tokens(4)
    assert torch.equal(read_tokens(network, x, (32, 32)).patches, norm(x))
    network.norm = nn.LayerNorm(3)
    assert torch.equal(read_tokens(network, x, (32, 32)).patches, x)


@pytest.mark.parametrize('last', [False, True])
def test_maps_are_flattened_row_by_row(last):
    x = torch.arange(24.0).view(1, 2, 3, 4)
    network = Network(output_fmt='NHWC') if last else Network()
    found = read_tokens(
        network, x.permute(0, 2, 3, 1) if last else x, (96, 128)
    )
    assert found.grid == (3, 4)
    for i in range(3):
        for j in range(4):
            assert torch.equal(found.patches[0, 4 * i + j], x[0, :, i, j])


@pytest.mark.parametrize('size, count', [((40, 40), 4), ((40, 40), 9)])
def test_strides_that_round_either_way(size, count):
    side = int(count**0.5)
    found = read_tokens(Network(), tokens(count), size)
    assert found.grid == (side, side)


@pytest.mark.parametrize(
    'features', [[tokens(4)], tokens(5), torch.ones(2, 3)]
)
def test_features_without_a_grid(features):
    assert read_tokens(Network(), features, (32, 32)) is None


@pytest.mark.parametrize(
    'name, wanted',
    [
        ('pooled', lambda x: 2 * x[:, 0]),
        ('projected', lambda x: 3 * x[:, 0]),
        ('cls', lambda x: x[:, 0]),
        ('registers', lambda x: (x[:, 1] + x[:, 2]) / 2),
        ('patches', lambda x: x[:, 3:].mean(1)),
        (
            'cls_patches',
            lambda x: torch.cat([x[:, 0], x[:, 3:].mean(1)], 1),
        ),
    ],
)
def test_vectors(name, wanted):
    assert name in VECTORS
    x = tokens(9)
    found = read_vector(name, dinov2(), x, (32, 48), projects=True)
    assert torch.equal(found, wanted(x))


@pytest.mark.parametrize(
    'network, features, projects, words',
    [
        (Network(), torch.ones(1, 3, 2, 2), False, 'pooled, patches'),
        (Network(), [1], True, 'pooled, projected'),
        (
            dinov2(),
            tokens(9),
            False,
            'pooled, patches, cls, cls_patches, registers',
        ),
    ],
)
def test_vector_that_is_not_there(network, features, projects, words):
    with pytest.raises(UserError, match=f"feature='x', only {words}\\."):
        read_vector('x', network, features, (32, 48), projects)


@pytest.mark.parametrize(
    'depth, wanted',
    [(12, [2, 5, 8, 11]), (24, [5, 11, 17, 23]), (6, [0, 2, 3, 5])],
)
def test_plain_networks_give_four_evenly_spaced_blocks(depth, wanted):
    network = Network()
    network.feature_info = depth * network.feature_info
    assert is_plain(network)
    assert choose_maps(network, None) == wanted


@pytest.mark.parametrize('name', ['resnet10t', 'convnext_atto'])
def test_hierarchical_networks_give_every_stage(name):
    model = timm.create_model(name)
    assert not is_plain(model) and reductions(model)[-1] == 32
    assert choose_maps(model, None) is None


def test_maps_by_index():
    model = timm.create_model('convnext_atto')
    assert choose_maps(model, (-3, 3)) == [-3, 3]


@pytest.mark.parametrize(
    'indices', [(4,), (-5,), (1, 0), (1, 1), (), ('a',), 3]
)
def test_indices_that_do_not_exist_or_increase(indices):
    model = timm.create_model('convnext_atto')
    with pytest.raises(UserError, match='increasing.*4 maps.*-4 and 3'):
        choose_maps(model, indices)


def test_network_without_maps():
    with pytest.raises(UserError, match='no maps of Network'):
        choose_maps(Network(), (0,))
