"""Tests of the image towers of open_clip against the library's own."""

from __future__ import annotations

from pathlib import Path

import open_clip
import pytest
import torch
from open_clip.model import resize_pos_embed

from mmkd_custom.errors import UserError
from mmkd_custom.models.teachers.open_clip.towers import (
    ImageTower,
    image_tower,
    interpolate_positions,
)
from tests.models.teachers.open_clip import open_clip_models as tiny

VITS = ['tiny-vit', 'tiny-vit-quickgelu', 'tiny-clipa', 'tiny-scale']


@pytest.fixture(scope='module', autouse=True)
def models(tmp_path_factory):
    tiny.register(tmp_path_factory.mktemp('configs'))


def build(name: str):
    model = tiny.build(name)
    tower = image_tower(model.visual).eval()
    images = torch.randn(2, 3, *tower.size)
    return model, tower, images


def consume(tower: ImageTower, images: torch.Tensor, with_maps=False):
    with torch.no_grad():
        return tower.consume(images, with_maps)


def record(module: torch.nn.Module, run) -> torch.Tensor:
    """What a module returned while something ran."""
    outputs = []
    hook = module.register_forward_hook(lambda m, i, o: outputs.append(o))
    with torch.no_grad():
        run()
    hook.remove()
    return outputs[-1]


def last_block(model, images) -> torch.Tensor:
    """(N, 1 + L, D), whichever way round the version of open_clip runs it."""
    found = record(
        model.visual.transformer.resblocks[-1],
        lambda: model.encode_image(images),
    )
    batch_first = getattr(model.visual.transformer, 'batch_first', False)
    return found if batch_first else found.transpose(0, 1)


def close(found: torch.Tensor, wanted: torch.Tensor) -> bool:
    return found.shape == wanted.shape and torch.allclose(
        found, wanted, atol=1e-5
    )


@pytest.mark.parametrize('name', tiny.FAMILIES)
@torch.no_grad()
def test_projected_is_encode_image(name):
    model, tower, images = build(name)
    found = tower.projected(consume(tower, images))
    assert close(found, tiny.encode_image(model, images))
    # Maps are taken on the way, and nothing else changes.
    with_maps = tower.projected(consume(tower, images, True))
    assert close(found, with_maps)


@pytest.mark.parametrize('name', ['tiny-vit', 'tiny-scale'])
@torch.no_grad()
def test_vit_tensors(name):
    model, tower, images = build(name)
    consumed = consume(tower, images)
    model.visual.output_tokens = True
    projected, tokens = model.visual(images)
    found, grid = tower.tokens(consumed)
    assert grid == (4, 4) and close(found, tokens)
    assert close(tower.patches(consumed), tokens.mean(1))
    assert torch.equal(tower.cls(consumed), tower.pooled(consumed))
    assert close(tower.pooled(consumed) @ model.visual.proj, projected)
    assert tower.has_cls


@torch.no_grad()
def test_clipa_tensors():
    model, tower, images = build('tiny-clipa')
    consumed, norm = consume(tower, images), model.visual.ln_post
    block = last_block(model, images)
    assert close(tower.pooled(consumed), norm(block[:, 1:].mean(1)))
    assert close(tower.cls(consumed), norm(block[:, 0]))
    assert close(tower.tokens(consumed)[0], norm(block[:, 1:]))


@torch.no_grad()
def test_coca_tensors():
    model, tower, images = build('tiny-coca')
    consumed, block = consume(tower, images), last_block(model, images)
    assert close(tower.cls(consumed), block[:, 0])
    assert close(tower.tokens(consumed)[0], block[:, 1:])
    queries = model.visual.ln_post(model.visual.attn_pool(block))
    assert close(tower.pooled(consumed), queries[:, 0])


@torch.no_grad()
def test_resnet_tensors():
    model, tower, images = build('tiny-resnet')
    consumed = consume(tower, images, True)
    for number in range(4):
        wanted = record(
            getattr(model.visual, f'layer{number + 1}'),
            lambda: model.encode_image(images),
        )
        assert close(consumed.maps[number], wanted)
    tokens, grid = tower.tokens(consumed)
    assert grid == (2, 2) and not tower.has_cls
    # Row by row.
    assert close(tokens[:, 1], wanted[:, :, 0, 1])
    assert close(tower.pooled(consumed), wanted.mean((2, 3)))
    assert close(tower.patches(consumed), wanted.mean((2, 3)))


@torch.no_grad()
def test_eva_tensors():
    model, tower, images = build('tiny-eva')
    consumed, trunk = consume(tower, images), model.visual.trunk
    features = trunk.forward_features(images)
    assert close(tower.cls(consumed), features[:, 0])
    assert close(tower.pooled(consumed), features[:, 0])
    tokens, grid = tower.tokens(consumed)
    assert grid == (10, 10) and close(tokens, features[:, 1:])
    assert close(trunk.head(features[:, 0]), tower.projected(consumed))


@torch.no_grad()
def test_sig_tensors():
    model, tower, images = build('tiny-sig')
    consumed, trunk = consume(tower, images), model.visual.trunk
    # Its one token that belongs to no patch is a register.
    assert not tower.has_cls and trunk.num_prefix_tokens == 1
    features = trunk.forward_features(images)
    assert close(tower.tokens(consumed)[0], features[:, 1:])
    assert close(tower.pooled(consumed), tower.projected(consumed))


@torch.no_grad()
def test_convnext_tensors():
    model, tower, images = build('tiny-convnext')
    consumed = consume(tower, images, True)
    features = model.visual.trunk.forward_features(images)
    tokens, grid = tower.tokens(consumed)
    assert grid == (5, 5) and close(tokens[:, 7], features[:, :, 1, 2])
    pooled = tower.pooled(consumed)
    assert close(pooled, model.visual.trunk(images))
    assert close(model.visual.head(pooled), tower.projected(consumed))
    assert [m.shape[2] for m in consumed.maps] == [40, 20, 10, 5]
    assert torch.equal(consumed.maps[-1].mean((2, 3)), features.mean((2, 3)))


@torch.no_grad()
def test_attention_pooling_of_the_head():
    model, tower, images = build('tiny-attn')
    consumed = consume(tower, images)
    features = model.visual.trunk.forward_features(images)
    assert close(tower.pooled(consumed), features.mean((2, 3)))
    assert close(tower.tokens(consumed)[0][:, 1], features[:, :, 0, 1])


def test_stem_of_older_timm_is_no_map(monkeypatch):
    _, tower, images = build('tiny-convnext')
    wanted = consume(tower, images, True).maps
    trunk = tower.visual.trunk
    own = trunk.forward_intermediates

    def with_stem(*args, **kwargs):
        x, maps = own(*args, **kwargs)
        return x, [torch.zeros_like(wanted[0]), *wanted]

    monkeypatch.setattr(trunk, 'forward_intermediates', with_stem)
    found = consume(tower, images, True).maps
    assert len(found) == 4 and all(map(torch.equal, found, wanted))


@pytest.mark.parametrize('pooling', ['parallel', 'cascade'])
def test_pooling_that_open_clip_calls_untested(pooling):
    vision = dict(
        tiny.CONFIGS['tiny-coca']['vision_cfg'], attentional_pool=pooling
    )
    model = open_clip.create_model('tiny-coca', vision_cfg=vision)
    with pytest.raises(UserError, match=f"attentional_pool='{pooling}'"):
        image_tower(model.visual)


@pytest.mark.parametrize(
    'name, blocks',
    [
        ('tiny-vit', [0, 1, 2, 4]),
        ('tiny-scale', [0, 1]),
        ('tiny-coca', [0, 1, 2, 4]),
        ('tiny-sig', [1, 3, 5, 7]),
    ],
)
@torch.no_grad()
def test_maps_of_plain_transformers(name, blocks):
    model, tower, images = build(name)
    if not hasattr(model.visual, 'forward_intermediates'):
        pytest.skip('this version of open_clip gives no maps to compare with')
    wanted = model.visual.forward_intermediates(images, indices=blocks)
    found = consume(tower, images, True).maps
    assert len(found) == len(wanted['image_intermediates'])
    assert all(map(close, found, wanted['image_intermediates']))


def test_interpolation_is_open_clips():
    torch.manual_seed(0)
    for new in ((6, 6), (3, 3), (4, 7)):
        positions = torch.randn(1 + 16, 8)
        model = torch.nn.Module()
        model.visual = torch.nn.Module()
        model.visual.grid_size = new
        state = {'visual.positional_embedding': positions}
        resize_pos_embed(state, model)
        found = interpolate_positions(positions, (4, 4), new)
        assert close(found, state['visual.positional_embedding'])
        # In half precision the sums are still float32's.
        half = interpolate_positions(positions.half(), (4, 4), new)
        assert half.dtype == torch.float16
        assert torch.allclose(half.float(), found, atol=2e-3)


@pytest.mark.parametrize('size', [(48, 48), (24, 40)])
@pytest.mark.parametrize('name', ['tiny-vit', 'tiny-clipa', 'tiny-coca'])
def test_resized_vit_is_open_clips(name, size, tmp_path: Path):
    model, tower, _ = build(name)
    torch.save(model.state_dict(), tmp_path / 'w.pth')
    wanted = open_clip.create_model(name, force_image_size=size).eval()
    open_clip.load_checkpoint(wanted, str(tmp_path / 'w.pth'))
    images = torch.randn(2, 3, *size)
    reference = tiny.encode_image(wanted, images)
    # Any size goes as it is, and once resized nothing is interpolated.
    with torch.no_grad():
        assert close(tower.projected(consume(tower, images)), reference)
        tower.resize(size)
        positions = model.visual.positional_embedding
        assert close(positions, wanted.visual.positional_embedding)
        consumed = consume(tower, images)
        assert close(tower.projected(consumed), reference)
    assert tower.tokens(consumed)[1] == (size[0] // 8, size[1] // 8)


@torch.no_grad()
def test_resized_resnet_keeps_what_does_not_vary():
    model, tower, _ = build('tiny-resnet')
    pool = model.visual.attnpool
    first = pool.positional_embedding[0].clone()
    # A ramp along the rows stays one: rows differ, columns do not.
    ramp = torch.tensor([-1.0, -1.0, 1.0, 1.0])[:, None].expand(4, 256)
    pool.positional_embedding[1:] = ramp
    tower.resize((96, 64))
    found = pool.positional_embedding
    assert torch.equal(found[0], first)
    rows = found[1:].reshape(3, 2, 256)
    assert close(rows[:, 0], rows[:, 1]) and abs(rows[1]).max() < 1e-6
    assert (rows[0] < -0.9).all() and (rows[2] > 0.9).all()
    output = tower.projected(consume(tower, torch.randn(1, 3, 96, 64)))
    assert output.shape == (1, 12)


@torch.no_grad()
def test_resized_timm_trunk_is_timms():
    model, tower, images = build('tiny-eva')
    reference = tiny.build('tiny-eva').visual
    if not hasattr(reference.trunk, 'set_input_size'):
        pytest.skip('this version of timm cannot resize it')
    reference.trunk.set_input_size(img_size=(96, 128))
    tower.resize((160, 160))
    assert close(
        tower.projected(consume(tower, images)),
        tiny.encode_image(model, images),
    )
    tower.resize((96, 128))
    images = torch.randn(2, 3, 96, 128)
    consumed = consume(tower, images)
    assert close(tower.projected(consumed), reference(images))
    assert tower.tokens(consumed)[1] == (6, 8)


def test_timm_trunk_that_cannot_be_resized(monkeypatch):
    _, tower, _ = build('tiny-eva')
    trunk = type(tower.visual.trunk)
    monkeypatch.delattr(trunk, 'set_input_size')
    tower.resize((160, 160))
    with pytest.raises(UserError, match=r'input_size=\(96, 96\), but with'):
        tower.resize((96, 96))


@pytest.mark.parametrize(
    'name, any_size, multiple',
    [
        ('tiny-vit', True, 8),
        ('tiny-resnet', False, 32),
        ('tiny-eva', False, 16),
        ('tiny-convnext', True, 1),
    ],
)
def test_sizes(name, any_size, multiple):
    _, tower, _ = build(name)
    assert tower.any_size is any_size and tower.patch_multiple == multiple
    if any_size:
        images = torch.randn(1, 3, *tower.least_size)
        consumed = consume(tower, images, True)
        assert tower.tokens(consumed)[0].shape[1] >= 4
