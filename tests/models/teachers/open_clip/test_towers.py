"""Tests of the image towers of open_clip against the library's own."""

from __future__ import annotations

import open_clip
import pytest
import torch

from mmkd_custom.errors import UserError
from mmkd_custom.models.teachers.open_clip.towers import image_tower
from tests.models.teachers.open_clip import open_clip_models as tiny


@pytest.fixture(scope='module', autouse=True)
def models(tmp_path_factory):
    tiny.register(tmp_path_factory.mktemp('configs'))


def build(name: str):
    model = tiny.build(name)
    tower = image_tower(model.visual).eval().requires_grad_(False)
    return model, tower, torch.randn(2, 3, *tower.size)


def close(found: torch.Tensor, wanted: torch.Tensor) -> bool:
    return found.shape == wanted.shape and torch.allclose(
        found, wanted, atol=1e-5
    )


def _vit(visual, images):
    visual.output_tokens = True
    _, tokens = visual(images)
    return dict(patches=tokens.mean(1), tokens=tokens, grid=(4, 4))


def _clipa(visual, images):
    block = last_block(visual, images)
    return dict(
        pooled=visual.ln_post(block[:, 1:].mean(1)),
        cls=visual.ln_post(block[:, 0]),
        tokens=visual.ln_post(block[:, 1:]),
        grid=(4, 4),
    )


def _coca(visual, images):
    block = last_block(visual, images)
    pooled = visual.ln_post(visual.attn_pool(block))[:, 0]
    return dict(pooled=pooled, cls=block[:, 0], tokens=block[:, 1:])


def _resnet(visual, images):
    x = visual.stem(images)
    for number in (1, 2, 3, 4):
        x = getattr(visual, f'layer{number}')(x)
    mean = x.mean((2, 3))
    rows = x.flatten(2).transpose(1, 2)
    return dict(pooled=mean, patches=mean, tokens=rows, grid=(2, 2), cls=None)


def _eva(visual, images):
    x = visual.trunk.forward_features(images)
    return dict(pooled=x[:, 0], cls=x[:, 0], tokens=x[:, 1:], grid=(10, 10))


def _sig(visual, images):
    # Its one token that belongs to no patch is a register.
    x = visual.trunk.forward_features(images)
    return dict(pooled=visual(images), tokens=x[:, 1:], cls=None)


def _convnext(visual, images):
    x = visual.trunk.forward_features(images)
    rows = x.flatten(2).transpose(1, 2)
    pooled = visual.trunk(images)
    return dict(pooled=pooled, tokens=rows, grid=(5, 5), cls=None)


def _attn(visual, images):
    # An attention pooling of open_clip's own is in its head.
    x = visual.trunk.forward_features(images)
    return dict(pooled=x.mean((2, 3)), cls=None)


def last_block(visual, images) -> torch.Tensor:
    """(N, 1 + L, D), whichever way round the version of open_clip runs it."""
    outputs = []
    hook = visual.transformer.resblocks[-1].register_forward_hook(
        lambda module, inputs, output: outputs.append(output)
    )
    visual(images)
    hook.remove()
    batch_first = getattr(visual.transformer, 'batch_first', False)
    return outputs[0] if batch_first else outputs[0].transpose(0, 1)


@pytest.mark.parametrize(
    'name, definition',
    [
        ('tiny-vit', _vit),
        ('tiny-scale', _vit),
        ('tiny-clipa', _clipa),
        ('tiny-coca', _coca),
        ('tiny-resnet', _resnet),
        ('tiny-eva', _eva),
        ('tiny-sig', _sig),
        ('tiny-convnext', _convnext),
        ('tiny-attn', _attn),
    ],
)
@torch.no_grad()
def test_tensors_are_the_librarys(name, definition):
    model, tower, images = build(name)
    consumed = tower.consume(images, False)
    projected = tiny.encode_image(model, images)
    wanted = dict(definition(model.visual, images), projected=projected)
    tokens, grid = tower.tokens(consumed)
    assert grid == wanted.pop('grid', grid)
    assert close(tokens, wanted.pop('tokens', tokens))
    assert tower.has_cls == (wanted.get('cls', True) is not None)
    for what, value in wanted.items():
        if value is not None:
            assert close(getattr(tower, what)(consumed), value), what
    # Maps are taken on the way, and change nothing else.
    assert torch.equal(tower.consume(images, True).features, consumed.features)


@pytest.mark.parametrize(
    'name, stages',
    [
        ('tiny-vit', [0, 1, 2, 4]),
        ('tiny-scale', [0, 1]),
        ('tiny-coca', [0, 1, 2, 4]),
        ('tiny-sig', [1, 3, 5, 7]),
        ('tiny-resnet', [1, 2, 3, 4]),
        ('tiny-convnext', None),
    ],
)
@torch.no_grad()
def test_maps_are_the_librarys(name, stages):
    model, tower, images = build(name)
    found = tower.consume(images, True).maps
    wanted = model.visual.forward_intermediates(images, indices=stages)
    wanted = wanted['image_intermediates']
    assert len(found) == len(wanted) and all(map(close, found, wanted))


@torch.no_grad()
def test_stem_of_older_timm_is_no_map(monkeypatch):
    _, tower, images = build('tiny-convnext')
    wanted = tower.consume(images, True).maps
    trunk = tower.visual.trunk
    own = trunk.forward_intermediates

    def with_stem(*args, **kwargs):
        x, maps = own(*args, **kwargs)
        return x, [torch.zeros_like(wanted[0]), *wanted]

    monkeypatch.setattr(trunk, 'forward_intermediates', with_stem)
    found = tower.consume(images, True).maps
    assert len(found) == 4 and all(map(torch.equal, found, wanted))


@pytest.mark.parametrize('size', [(48, 48), (24, 40)])
@pytest.mark.parametrize('name', ['tiny-vit', 'tiny-clipa', 'tiny-coca'])
@torch.no_grad()
def test_resized_vit_is_open_clips(name, size, tmp_path):
    model, tower, _ = build(name)
    torch.save(model.state_dict(), tmp_path / 'w.pth')
    wanted = open_clip.create_model(name, force_image_size=size).eval()
    open_clip.load_checkpoint(wanted, str(tmp_path / 'w.pth'))
    images = torch.randn(2, 3, *size)
    reference = tiny.encode_image(wanted, images)
    # Any size goes as it is, and once resized nothing is interpolated.
    before = model.visual.positional_embedding.clone()
    assert close(tower.projected(tower.consume(images, False)), reference)
    assert torch.equal(model.visual.positional_embedding, before)
    tower.resize(size)
    positions = model.visual.positional_embedding
    assert close(positions, wanted.visual.positional_embedding)
    consumed = tower.consume(images, False)
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
    images = torch.randn(1, 3, 96, 64)
    output = tower.projected(tower.consume(images, False))
    assert output.shape == (1, 12)


@torch.no_grad()
def test_resized_timm_trunk_is_timms(monkeypatch):
    _, tower, _ = build('tiny-eva')
    reference = tiny.build('tiny-eva').visual
    if not hasattr(reference.trunk, 'set_input_size'):
        pytest.skip('this version of timm cannot resize it')
    reference.trunk.set_input_size(img_size=(96, 128))
    tower.resize((96, 128))
    images = torch.randn(2, 3, 96, 128)
    consumed = tower.consume(images, False)
    assert close(tower.projected(consumed), reference(images))
    assert tower.tokens(consumed)[1] == (6, 8)
    monkeypatch.delattr(type(tower.visual.trunk), 'set_input_size')
    with pytest.raises(UserError) as error:
        tower.resize((96, 96))
    assert 'input_size' in str(error.value)


@pytest.mark.parametrize(
    'name, any_size, multiple',
    [
        ('tiny-vit', True, 8),
        ('tiny-resnet', False, 32),
        ('tiny-eva', False, 16),
        ('tiny-convnext', True, 1),
    ],
)
def test_sizes_that_a_tower_takes(name, any_size, multiple):
    _, tower, _ = build(name)
    assert tower.any_size is any_size and tower.patch_multiple == multiple
