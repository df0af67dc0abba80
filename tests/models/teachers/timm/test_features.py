"""Vectors, tokens and maps of every family, against timm's own."""

from __future__ import annotations

import pytest
import timm
import torch
import torch.nn as nn

from mmkd_custom.errors import UserError
from mmkd_custom.models.outputs import OUTPUTS
from mmkd_custom.models.teachers.timm.features import (
    choose_maps,
    read_tokens,
    reductions,
)
from mmkd_custom.models.teachers.timm.teacher import TimmTeacher

from .test_teacher import DINOV2, OPENAI, relative, unscaled


def small(name: str, **options) -> TimmTeacher:
    sizes = dict(embed_dim=48, num_heads=3, depth=2)
    teacher = TimmTeacher(name, **dict(sizes, **options))
    unscaled(teacher.model)
    return teacher


@pytest.fixture
def images() -> torch.Tensor:
    return torch.randn(2, 3, 64, 64)


@pytest.mark.parametrize(
    'feature, wanted',
    [
        (None, lambda x: x[:, 0]),
        ('pooled', lambda x: x[:, 0]),
        ('cls', lambda x: x[:, 0]),
        ('registers', lambda x: x[:, 1:5].mean(1)),
        ('patches', lambda x: x[:, 5:].mean(1)),
        ('cls_patches', lambda x: torch.cat([x[:, 0], x[:, 5:].mean(1)], 1)),
    ],
)
def test_vectors_of_dinov2_with_registers(feature, wanted, images):
    teacher = small(
        'vit_small_patch14_reg4_dinov2', input_size=56, feature=feature
    )
    inputs = teacher.prepare(images)
    model = teacher.model
    with torch.no_grad():
        x = model.norm(
            model.blocks(model._pos_embed(model.patch_embed(inputs)))
        )
    output = teacher(inputs, ['feature', 'tokens'])
    assert relative(output.feature, wanted(x)) < 1e-5
    assert teacher.feature_dim == wanted(x).shape[1]
    assert output.grid == (4, 4) and torch.equal(output.tokens, x[:, 5:])


#: A network of each family, made small, and the vectors that it has besides
#: 'pooled' and 'patches'.
FAMILIES = [
    ('vit_small_patch14_reg4_dinov2', dict(depth=2), {'cls', 'registers'}),
    ('vit_small_patch16_dinov3', dict(depth=2), {'cls', 'registers'}),
    ('vit_base_patch16_siglip_224', dict(depth=2), set()),
    ('vit_pe_core_tiny_patch16_384', dict(depth=2), {'cls'}),
    ('eva02_tiny_patch14_224', dict(depth=2), {'cls'}),
    ('eva02_base_patch16_clip_224.merged2b', dict(depth=2), {'cls'}),
    ('beit_base_patch16_224', dict(depth=2), {'cls'}),
    ('vit_tiny_r_s16_p8_224', dict(depth=2), {'cls'}),
    ('deit_tiny_distilled_patch16_224', dict(depth=2), {'cls'}),
    ('naflexvit_base_patch16_gap', dict(depth=2), {'registers'}),
    ('qwen3_vit_88m', dict(depth=2), set()),
    ('mixer_s32_224', {}, set()),
    (
        'swin_tiny_patch4_window7_224',
        dict(depths=(1, 1), num_heads=(2, 4), embed_dim=16),
        set(),
    ),
    ('test_mambaout', {}, set()),
    ('pvt_v2_b0', {}, set()),
    ('sequencer2d_s', dict(layers=(1, 1, 1, 1)), set()),
]


@pytest.mark.parametrize('name, options, vectors', FAMILIES)
def test_tokens_are_the_last_map_of_timm(name, options, vectors):
    if not timm.is_model(name.partition('.')[0]):
        pytest.skip('older timm')
    edge = 14 if 'patch14' in name else 32
    if 'sequencer' not in name:
        options = dict(options, input_size=(2 * edge, 3 * edge))
    teacher = TimmTeacher(name, **options)
    model = unscaled(teacher.model)
    if not hasattr(model, 'forward_intermediates'):
        pytest.skip('older timm')
    inputs = torch.randn(2, 3, *teacher.input_size)
    with torch.no_grad():
        last = model.forward_intermediates(
            inputs,
            indices=[-1],
            norm=True,
            output_fmt='NCHW',
            intermediates_only=True,
        )[-1]
        # (N, D, h, w) -> (N, h * w, D)
        wanted = last.flatten(2).transpose(1, 2)
        if isinstance(getattr(model, 'norm', None), nn.Identity):
            wanted = model.fc_norm(wanted)
    output = teacher(inputs, ['tokens', 'feature'])
    assert output.grid == tuple(last.shape[2:])
    assert relative(output.tokens, wanted) < 1e-5
    assert output.feature.shape == (2, teacher.feature_dim)
    assert 'maps' in teacher.offers
    # The pixels of one corner reach the token there more than any other.
    changed = inputs.clone()
    changed[:, :, -8:, -8:] += 1
    moved = (teacher(changed, ['tokens']).tokens - output.tokens).abs()
    assert moved.sum((0, 2)).argmax() == moved.shape[1] - 1
    for vector in ('cls', 'registers'):
        teacher.feature = vector
        if vector in vectors:
            assert len(teacher(inputs, ['feature']).feature) == 2
        else:
            with pytest.raises(UserError, match=f"'{vector}'"):
                teacher(inputs, ['feature'])


@pytest.mark.parametrize(
    'name, default',
    [
        (OPENAI, 'projected'),
        ('eva02_base_patch16_clip_224.merged2b', 'projected'),
        ('vit_base_patch16_clip_224', 'pooled'),
        ('vit_base_patch16_siglip_224', 'pooled'),
        (DINOV2, 'pooled'),
    ],
)
def test_default_vector_of_a_family(name, default, images):
    teacher = small(name)
    inputs = teacher.prepare(images)
    with torch.no_grad():
        wanted = teacher.model.forward_head(
            teacher.model.forward_features(inputs),
            pre_logits=default == 'pooled',
        )
    assert teacher.feature == default
    assert teacher.projects == (default == 'projected')
    headed = name == 'vit_base_patch16_clip_224'
    assert ('logits' in teacher.offers) == headed
    assert torch.equal(teacher(inputs).feature, wanted)


def test_everything_comes_out_of_one_pass(images):
    teacher = TimmTeacher('test_vit', input_size=64)
    calls = []
    for name, module in teacher.model.named_modules():
        if isinstance(module, (nn.Linear, nn.Conv2d)):
            module.register_forward_hook(lambda m, *_, n=name: calls.append(n))
    output = teacher(images, OUTPUTS)
    assert teacher.offers == OUTPUTS
    assert len(calls) == len(set(calls))
    assert output.logits.shape == (2, 1000)
    assert output.tokens.shape == (2, 16, 64) and output.grid == (4, 4)
    assert [tuple(m.shape) for m in output.maps] == 4 * [(2, 64, 4, 4)]
    assert teacher.shapes == output.shapes()


@pytest.mark.parametrize(
    'wants, absent',
    [('feature', 'head'), ('tokens', 'head'), ('maps', 'blocks.4.attn.qkv')],
)
def test_only_what_is_wanted_is_computed(wants, absent, images):
    teacher = TimmTeacher('test_vit', input_size=64, map_indices=(1, 3))
    module = teacher.model.get_submodule(absent)
    calls = []
    module.register_forward_hook(lambda *_: calls.append(1))
    output = teacher(images, [wants])
    assert not calls
    assert output.named_tensors().keys() <= {wants, 'maps.0', 'maps.1'}
    teacher(images, ['logits'])
    assert calls


@pytest.mark.parametrize('name', ['test_vit', 'resnet10t', 'convnext_atto'])
def test_maps_are_those_of_timm(name, images):
    teacher = TimmTeacher(name, input_size=64, map_indices=(0, -1))
    output = teacher(images, ['maps', 'feature'])
    with torch.no_grad():
        wanted = teacher.model.forward_intermediates(
            images, indices=[0, -1], intermediates_only=True
        )
    assert all(map(torch.equal, output.maps, wanted))
    assert all(map(torch.equal, teacher(images, ['maps']).maps, wanted))
    assert torch.equal(output.feature, teacher(images, ['feature']).feature)
    strides = reductions(teacher.model)
    every = TimmTeacher(name, input_size=64)(images, ['maps']).maps
    if name != 'test_vit':
        assert [m.shape[-1] for m in every] == [64 // s for s in strides]


def test_maps_are_not_offered_where_timm_gives_none(monkeypatch):
    monkeypatch.delattr(timm.models.resnet.ResNet, 'forward_intermediates')
    teacher = TimmTeacher('resnet10t')
    assert teacher.offers == ('feature', 'logits', 'tokens')
    with pytest.raises(UserError, match='feature, logits, tokens.*maps'):
        teacher(torch.zeros(1, 3, 64, 64), ['maps'])


class Network(nn.Module):
    """What these functions ask of a network, and nothing else."""

    def __init__(self, depth=1, **attributes) -> None:
        super().__init__()
        self.feature_info = depth * [dict(reduction=16)]
        for name, value in dict(num_prefix_tokens=0, **attributes).items():
            setattr(self, name, value)


@pytest.mark.parametrize('count', [4, 9])
def test_strides_round_either_way(count):
    found = read_tokens(Network(), torch.rand(2, count, 3), (40, 40))
    assert found.grid == (count**0.5,) * 2


@pytest.mark.parametrize(
    'depth, wanted',
    [(12, [2, 5, 8, 11]), (24, [5, 11, 17, 23]), (6, [0, 2, 3, 5])],
)
def test_plain_networks_give_four_evenly_spaced_blocks(depth, wanted):
    assert choose_maps(Network(depth), None) == wanted


@pytest.mark.parametrize(
    'indices', [(4,), (-5,), (1, 0), (1, 1), (), ('a',), 3]
)
def test_indices_that_do_not_exist_or_increase(indices):
    model = timm.create_model('convnext_atto')
    with pytest.raises(UserError, match='map_indices.*4 maps'):
        choose_maps(model, indices)
    assert choose_maps(model, (-3, 3)) == [-3, 3]
