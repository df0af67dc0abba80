"""The rest of a network, resumed from its own middle, is the network."""

from __future__ import annotations

import pytest
import timm
import torch

from mmkd_custom.cache import CachedTeacher
from mmkd_custom.errors import UserError
from mmkd_custom.models.teachers import MMPretrainTeacher, TimmTeacher
from mmkd_custom.models.teachers.wrappers.base import WrappedTeacher

from .test_teacher import relative, unscaled

VIT, SWIN = 'vit_small_patch14_dinov2', 'swin_tiny_patch4_window7_224'


def middle(teacher: TimmTeacher, after: int):
    """What the teacher says of two images, and block ``after`` gives."""
    model = unscaled(teacher.model)
    stages = model.layers if hasattr(model, 'layers') else model.blocks
    seen = []
    handle = stages[after].register_forward_hook(
        lambda _module, _args, output: seen.append(output)
    )
    wants = ['feature', 'tokens']
    wanted = teacher(torch.randn(2, 3, *teacher.input_size), wants)
    handle.remove()
    x = seen[0].permute(0, 3, 1, 2) if seen[0].ndim == 4 else seen[0]
    return wanted, x.detach().requires_grad_()


@pytest.mark.parametrize(
    'name, after, size, maps',
    [
        (VIT, 7, 56, 4 * [(2, 384, 4, 4)]),
        ('vit_small_patch14_reg4_dinov2', 10, (56, 70), [(2, 384, 4, 5)]),
        (SWIN, 1, 224, [(2, 384, 14, 14), (2, 768, 7, 7)]),
        (SWIN, 3, 224, []),
        ('swinv2_tiny_window8_256', 2, 256, [(2, 768, 8, 8)]),
        ('vit_small_patch16_dinov3', 10, 64, [(2, 384, 4, 4)]),
        ('eva02_tiny_patch14_224', 10, 56, [(2, 192, 4, 4)]),
        ('beit_base_patch16_224', 10, 224, [(2, 768, 14, 14)]),
        ('vit_base_patch16_siglip_224', 10, 64, [(2, 768, 4, 4)]),
    ],
)
def test_own_middle_gives_own_end(name, after, size, maps):
    if not timm.is_model(name):
        pytest.skip('older timm')
    teacher = TimmTeacher(name, input_size=size)
    wanted, x = middle(teacher, after)
    digest = teacher.digest()
    with torch.autocast('cpu', torch.bfloat16):
        found = teacher.resume(x, after)
    assert relative(found.tokens, wanted.tokens) < 1e-5
    assert relative(found.feature, wanted.feature) < 1e-5
    assert found.grid == wanted.grid
    assert [tuple(m.shape) for m in found.maps or ()] == maps
    found.tokens.square().sum().backward()
    assert x.grad.abs().sum() > 0
    assert not any(p.requires_grad for p in teacher.parameters())
    assert all(p.grad is None for p in teacher.parameters())
    assert teacher.digest() == digest


@pytest.mark.parametrize(
    'name, after, until, size',
    [
        ('vit_small_patch16_224', 7, 10, 64),
        ('vit_small_patch14_reg4_dinov2', 2, 5, (56, 70)),
        ('beit_base_patch16_224', 9, 10, 64),
        ('vit_small_patch16_dinov3', 9, 10, 64),
        (SWIN, 1, 2, 224),
    ],
)
def test_in_two_parts_it_is_the_whole(name, after, until, size):
    if not timm.is_model(name):
        pytest.skip('older timm')
    teacher = TimmTeacher(name, input_size=size)
    _, x = middle(teacher, after)
    shapes = teacher.middles((8, 8))
    if x.ndim == 3:
        # Patches alone, as nothing else comes out of a part.
        x = x[:, teacher.model.num_prefix_tokens :].detach()
        assert tuple(x.shape[1:]) == shapes[after].sizes
        grid = shapes[after].grid
    else:
        assert tuple(x.shape[1:]) == shapes[after].sizes
        grid = None
    wanted = teacher.resume(x, after, grid)
    part = teacher.resume(x, after, grid, until)
    assert part.feature is None
    assert torch.equal(part.maps[-1], wanted.maps[until - after - 1])
    assert torch.equal(part.tokens, part.maps[-1].flatten(2).mT)
    found = teacher.resume(part.maps[-1], until, grid)
    assert relative(found.tokens, wanted.tokens) < 1e-5


def test_patches_of_beit_have_their_own_positions():
    teacher = TimmTeacher('beit_base_patch16_224', depth=2, input_size=64)
    layer = unscaled(teacher.model).blocks[1].attn
    with torch.no_grad():
        layer.relative_position_bias_table.normal_()
    x = torch.randn(1, 16, 768)
    found = teacher.resume(x, 0).maps[0]
    # A class token that nothing looks at.
    table = layer.relative_position_bias_table
    with torch.no_grad():
        table[-2] = -1e9
        with_cls = torch.cat([torch.zeros(1, 1, 768), x], 1)
        wanted = teacher.resume(with_cls, 0).maps[0]
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-5)
    assert '_get_rel_pos_bias' not in vars(layer)
    with pytest.raises(UserError, match='grid'):
        teacher.resume(x[:, :9], 0)


@pytest.mark.parametrize('name', [VIT, 'vit_small_patch16_dinov3'])
def test_patches_alone_are_what_the_blocks_make_of_them(name):
    if not timm.is_model(name):
        pytest.skip('older timm')
    teacher = TimmTeacher(name, input_size=(56, 70) if name == VIT else 64)
    _, x = middle(teacher, 9)
    prefix = teacher.model.num_prefix_tokens
    patches = x[:, prefix:].detach()
    found = teacher.resume(patches, 9)
    assert found.feature is None
    assert not torch.allclose(found.tokens, teacher.resume(x, 9).tokens)
    # A map of another grid than the teacher's own is one of its own kind.
    rows = patches.transpose(1, 2).unflatten(2, found.grid)
    assert torch.equal(teacher.resume(rows, 9).tokens, found.tokens)
    assert teacher.resume(rows[..., 1:], 9).grid[1] == found.grid[1] - 1
    teacher.feature = 'patches'
    mean = teacher.resume(patches, 9).feature
    assert torch.allclose(mean, found.tokens.mean(1))
    # The network itself is as it was.
    assert teacher.model.num_prefix_tokens == prefix
    assert torch.equal(
        teacher.resume(x, 9).tokens, teacher.resume(x, 9).tokens
    )
    if name == VIT:
        with torch.no_grad():
            wanted = teacher.model.blocks[10:](patches)
            wanted = teacher.model.norm(wanted)
        assert torch.equal(found.tokens, wanted)


def test_half_precision_and_standardised_feature():
    teacher = TimmTeacher('test_vit', input_size=32, dtype='bfloat16')
    _, x = middle(teacher, 2)
    plain = teacher.resume(x.detach().float(), 2).feature
    mean, std = torch.rand(2, teacher.feature_dim) + 0.5
    teacher.standardize(mean, std)
    found = teacher.resume(x, 2)
    assert found.feature.dtype == found.tokens.dtype == torch.float32
    torch.testing.assert_close(found.feature, (plain - mean) / std)
    # What lies around it passes it on, with statistics of its own.
    for around in (WrappedTeacher(teacher), CachedTeacher(teacher)):
        teacher.feature_mean = teacher.feature_std = None
        around.standardize(mean, std)
        assert torch.equal(around.resume(x, 2).feature, found.feature)


@pytest.mark.parametrize(
    'name, x, after, named',
    [
        ('test_vit', (2, 5, 64), 6, '6'),
        ('test_vit', (2, 5, 64), -1, '-1'),
        ('test_vit', (2, 6, 64), 2, r'\(2, 6, 64\)'),
        ('test_vit', (2, 5, 63), 2, r'\(2, 5, 63\)'),
        (SWIN, (2, 96, 28, 28), 1, r'\(N, 192, h, w\).*\(2, 96, 28, 28\)'),
        ('resnet10t', (2, 64, 8, 8), 1, 'ResNet'),
    ],
)
def test_what_does_not_fit(name, x, after, named):
    size = 224 if name == SWIN else 32
    teacher = TimmTeacher(name, input_size=size)
    with pytest.raises(UserError, match=named):
        teacher.resume(torch.zeros(x), after)


@pytest.mark.parametrize('until', [1, 6, 'last'])
def test_until_that_is_no_block(until):
    teacher = TimmTeacher('test_vit', input_size=32)
    with pytest.raises(UserError, match='until'):
        teacher.resume(torch.zeros(2, 5, 64), 2, None, until)


def test_grid_that_is_not_known():
    # 4 registers and a class token: 9 are 3 x 3, or 2 x 2 and these five.
    teacher = TimmTeacher(
        'vit_small_patch14_reg4_dinov2', depth=2, input_size=None
    )
    x = torch.randn(1, 9, 384)
    with pytest.raises(UserError, match='grid'):
        teacher.resume(x, 0)
    assert teacher.resume(x, 0, (3, 3)).tokens.shape == (1, 9, 384)
    assert teacher.resume(x, 0, (2, 2)).tokens.shape == (1, 4, 384)
    assert teacher.resume(x[:, :6], 0, (2, 3)).grid == (2, 3)


def test_teacher_that_cannot_resume():
    teacher = MMPretrainTeacher(
        dict(type='ResNet', depth=18, base_channels=8, stem_channels=8)
    )
    with pytest.raises(UserError, match='MMPretrainTeacher'):
        teacher.resume(torch.zeros(1, 8, 8, 8), 0)
    with pytest.raises(UserError, match='ViT.*Swin.*MMPretrainTeacher'):
        teacher.middles((32, 32))
