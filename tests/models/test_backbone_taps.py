"""What one pass of an MMPretrain backbone gives beside its output."""

from __future__ import annotations

import copy

import pytest
import torch
from mmengine.registry import DefaultScope
from mmpretrain.models import build_backbone, build_classifier

from mmkd_custom.errors import UserError
from mmkd_custom.models.backbone_taps import BackboneTaps
from mmkd_custom.models.teachers.mmpretrain.teacher import MMPretrainTeacher

ALL = ('cls', 'tokens', 'maps')
RESNET = dict(type='ResNet', depth=18, base_channels=8, stem_channels=8)
VIT = dict(
    type='VisionTransformer',
    arch=dict(
        embed_dims=32, num_layers=6, num_heads=2, feedforward_channels=64
    ),
    img_size=32,
    patch_size=8,
)
SWIN = dict(
    type='SwinTransformer',
    arch=dict(embed_dims=24, depths=[1, 1, 2], num_heads=[1, 2, 4]),
    out_indices=(2,),
    img_size=32,
    window_size=4,
    pad_small_map=True,
)


def build(config: dict, **options) -> torch.nn.Module:
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        backbone = build_backbone(dict(config, **options))
    backbone.init_weights()
    # Some of MMPretrain's do not return themselves.
    backbone.eval()
    return backbone


def twin(backbone: torch.nn.Module, config: dict, **options):
    """The same weights, made to give something else by MMPretrain itself."""
    other = build(config, **options)
    other.load_state_dict(backbone.state_dict(), strict=False)
    return other


def run(backbone, images, wants=ALL, size=(32, 32), **options):
    with torch.no_grad():
        return BackboneTaps(backbone, size, 'teacher', **options)(
            images, wants
        )


@pytest.fixture
def images() -> torch.Tensor:
    return torch.randn(2, 3, 32, 48)


def test_maps_of_a_convolutional_network_are_its_stages(images):
    backbone = build(RESNET)
    seen = run(backbone, images)
    with torch.no_grad():
        wanted = twin(backbone, RESNET, out_indices=(0, 1, 2, 3))(images)
    assert len(seen.maps) == 4
    assert all(torch.equal(a, b) for a, b in zip(seen.maps, wanted))
    assert [m.shape[1:] for m in seen.maps][0] == (8, 8, 12)
    assert torch.equal(seen.outputs[0], wanted[3])


def test_tokens_of_a_convolutional_network_are_its_last_map(images):
    seen = run(build(RESNET), images.repeat(1, 1, 2, 2))
    last = seen.outputs[-1]
    assert seen.grid == (2, 3) and seen.cls is None
    assert torch.equal(seen.tokens[:, 0], last[:, :, 0, 0])
    assert torch.equal(seen.tokens[:, 4], last[:, :, 1, 1])


@pytest.mark.parametrize('out_type', ['cls_token', 'avg_featmap', 'featmap'])
def test_transformer(images, out_type):
    backbone = build(VIT, out_type=out_type)
    with torch.no_grad():
        plain = backbone(images)[-1]
    seen = run(backbone, images)
    with torch.no_grad():
        raw = twin(backbone, VIT, out_type='raw')(images)[-1]
        blocks = twin(
            backbone,
            VIT,
            out_type='featmap',
            out_indices=[0, 2, 3, 5],
            final_norm=False,
        )(images)
    # The head gets what it got before.
    assert torch.equal(seen.outputs[-1], plain)
    assert torch.equal(seen.cls, raw[:, 0])
    assert torch.equal(seen.tokens, raw[:, 1:])
    assert seen.grid == (4, 6)
    assert len(seen.maps) == 4
    assert all(torch.equal(a, b) for a, b in zip(seen.maps, blocks))


def test_distillation_token_is_no_patch(images):
    config = dict(VIT, type='DistilledVisionTransformer')
    backbone = build(config)
    seen = run(backbone, images)
    with torch.no_grad():
        raw = twin(backbone, config, out_type='raw')(images)[-1]
    assert torch.equal(seen.cls, raw[:, 0])
    assert torch.equal(seen.tokens, raw[:, 2:])
    assert seen.maps[0].shape == (2, 32, 4, 6)


def test_transformer_without_a_class_token(images):
    backbone = build(VIT, out_type='avg_featmap', with_cls_token=False)
    taps = BackboneTaps(backbone, (32, 32), 'teacher')
    assert taps.is_transformer and not taps.has_cls
    with torch.no_grad():
        seen = taps(images, ALL)
        raw = twin(backbone, VIT, out_type='raw', with_cls_token=False)(images)
    assert seen.cls is None and torch.equal(seen.tokens, raw[-1])


def test_windowed_transformer(images):
    backbone = build(SWIN)
    seen = run(backbone, images)
    with torch.no_grad():
        wanted = twin(backbone, SWIN, out_indices=(0, 1, 2), norm_cfg=None)(
            images
        )
        own = backbone(images)[-1]
    assert [tuple(m.shape[1:]) for m in seen.maps] == [
        (24, 8, 12),
        (48, 4, 6),
        (96, 2, 3),
    ]
    assert all(torch.equal(a, b) for a, b in zip(seen.maps, wanted))
    # Tokens are those of the output, which is normalised.
    assert torch.equal(seen.tokens, own.flatten(2).transpose(1, 2))


def test_given_maps(images):
    backbone = build(VIT)
    every = run(backbone, images, map_indices=range(6)).maps
    chosen = run(build(VIT), images, map_indices=(1, -1))
    assert len(every) == 6 and len(chosen.maps) == 2
    same = run(backbone, images, map_indices=(-1, 1)).maps
    assert torch.equal(same[0], every[1]) and torch.equal(same[1], every[5])


@pytest.mark.parametrize('indices', [(4,), (-5,), 'last', 3, []])
def test_map_that_is_not_there(indices):
    with pytest.raises(UserError, match=r'^student: .*map_indices') as error:
        BackboneTaps(build(RESNET), (32, 32), 'student', indices)
    assert '[0, 1, 2, 3]' in str(error.value)
    assert str(error.value).endswith(f'got {indices!r}.')


def test_nothing_is_kept_unless_wanted(images):
    taps = BackboneTaps(build(VIT), (32, 32), 'teacher')
    with torch.no_grad():
        seen = taps(images, ('feature', 'logits'))
        assert seen.outputs is not None
        assert (seen.cls, seen.tokens, seen.maps) == (None, None, None)
        taps(images, ALL)
    assert not taps._stages and taps._final is None
    assert taps._seen.maps is None


@pytest.mark.parametrize('config', [RESNET, VIT])
def test_dry_run_changes_nothing(config):
    backbone = build(config, drop_rate=0.5) if config is VIT else build(config)
    backbone.train()
    before = copy.deepcopy(backbone.state_dict())
    state = torch.random.get_rng_state()
    BackboneTaps(backbone, (32, 32), 'student')
    assert torch.equal(torch.random.get_rng_state(), state)
    assert all(module.training for module in backbone.modules())
    after = backbone.state_dict()
    assert all(torch.equal(after[k], v) for k, v in before.items())


def test_size_on_which_it_cannot_run():
    swin = dict(SWIN, window_size=7, pad_small_map=False)
    with pytest.raises(UserError, match='^student: .*32 x 32.*input_size='):
        BackboneTaps(build(swin), (32, 32), 'student')


def classifier(backbone: dict) -> torch.nn.Module:
    head = dict(type='LinearClsHead', num_classes=3, in_channels=64)
    if backbone is VIT:
        head = dict(head, type='VisionTransformerClsHead', in_channels=32)
    neck = None if backbone is VIT else dict(type='GlobalAveragePooling')
    return build_classifier(
        dict(type='ImageClassifier', backbone=backbone, neck=neck, head=head)
    ).train()


@pytest.mark.parametrize('backbone', [RESNET, VIT])
def test_listens_while_a_classifier_trains(backbone, images):
    model = classifier(backbone)
    taps = BackboneTaps(model.backbone, (32, 32), 'student')
    with taps.listen() as seen:
        logits = model(images)
    assert logits.shape == (2, 3) and len(seen.maps) == 4
    assert seen.tokens.shape[1] == seen.grid[0] * seen.grid[1]
    sum(m.square().sum() for m in seen.maps).backward()
    assert next(model.backbone.parameters()).grad.abs().sum() > 0
    before = seen.maps
    model(images)
    assert seen.maps is before and not taps._stages
    with pytest.raises(RuntimeError), taps.listen():
        model(images[:, :2])
    assert not taps._listening


@pytest.mark.parametrize('backbone', [RESNET, VIT])
def test_deep_copy_has_taps_of_its_own(backbone, images):
    model = classifier(backbone).eval()
    taps = BackboneTaps(model.backbone, (32, 32), 'student')
    other, other_taps = copy.deepcopy((model, taps))
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.add_(0.1)
    with taps.listen() as seen:
        other(images)
        assert seen.maps is None and not taps._stages
        model(images)
    with other_taps.listen() as apart:
        other(images)
    assert not torch.allclose(seen.tokens, apart.tokens)
    # What the copy says is what its own weights say.
    fresh = classifier(backbone).eval()
    fresh.load_state_dict(other.state_dict())
    with BackboneTaps(fresh.backbone, (32, 32), 'x').listen() as wanted:
        assert torch.equal(fresh(images), other(images))
    assert torch.equal(apart.tokens, wanted.tokens)
    # A copy of the model alone takes new taps.
    alone = copy.deepcopy(model)
    with BackboneTaps(alone.backbone, (32, 32), 'x').listen() as again:
        alone(images)
    assert torch.equal(again.tokens, seen.tokens)


#: Name in the model zoo, number of tokens at 224 pixels, maps.
FAMILIES = [
    ('mobilenet-v3-small-050_3rdparty_in1k', 49, 5),
    ('shufflenet-v2-1x_16xb64_in1k', 49, 3),
    ('repvgg-a0_8xb32_in1k', 49, 4),
    ('convnext-v2-atto_3rdparty-fcmae_in1k', 49, 4),
    ('poolformer-s12_3rdparty_32xb128_in1k', 49, 4),
    ('efficientnet-b0_3rdparty_8xb32_in1k', 49, 5),
    ('mobilevit-xxsmall_3rdparty_in1k', 49, 5),
    # Whose maps are its own outputs.
    ('twins-svt-small_3rdparty_8xb128_in1k', 49, 1),
    ('van-tiny_3rdparty_in1k', 49, 1),
    ('mvitv2-tiny_3rdparty_in1k', 49, 4),
    ('t2t-vit-t-14_8xb64_in1k', 196, 4),
    ('deit3-small-p16_3rdparty_in1k', 196, 4),
    ('vit-tiny-p14_eva02-pre_in21k', 256, 4),
    ('xcit-nano-12-p16_3rdparty_in1k', 196, 4),
    ('revvit-small_3rdparty_in1k', 196, 0),
    ('tinyvit-5m_3rdparty_in1k', 0, 0),
    ('conformer-tiny-p16_3rdparty_in1k', 0, 0),
]


@pytest.mark.slow
@pytest.mark.parametrize('name, tokens, maps', FAMILIES)
def test_families(name, tokens, maps):
    teacher = MMPretrainTeacher(name)
    found = teacher(torch.randn(1, 3, 224, 224), teacher.offers)
    assert found.feature.shape == (1, teacher.feature_dim)
    assert ('tokens' in teacher.offers) is bool(tokens)
    assert ('maps' in teacher.offers) is bool(maps)
    if tokens:
        assert found.tokens.shape[1] == tokens
        assert found.grid[0] * found.grid[1] == tokens
    if maps:
        assert len(found.maps) == maps
        areas = [m.shape[2] * m.shape[3] for m in found.maps]
        assert areas == sorted(areas, reverse=True) and areas[-1] == tokens


def test_a_mixer_has_four_maps_and_its_output_as_tokens():
    arch = dict(
        embed_dims=16, num_layers=8, tokens_mlp_dims=8, channels_mlp_dims=32
    )
    mixer = dict(type='MlpMixer', arch=arch, img_size=(32, 48), patch_size=8)
    backbone = build(mixer)
    x = torch.randn(2, 3, 32, 48)
    seen = run(backbone, x, size=(32, 48))
    assert [tuple(m.shape) for m in seen.maps] == 4 * [(2, 16, 4, 6)]
    assert seen.grid == (4, 6)
    with torch.no_grad():
        assert torch.equal(seen.tokens, backbone(x)[-1].transpose(1, 2))
        rows, _ = backbone.patch_embed(x)
        for index, layer in enumerate(backbone.layers):
            rows = layer(rows)
            if index % 2:
                found = seen.maps[index // 2].flatten(2).transpose(1, 2)
                assert torch.equal(found, rows)
