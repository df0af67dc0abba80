"""Tests of MMPretrainTeacher."""

from __future__ import annotations

from pathlib import Path

import mmpretrain
import pytest
import torch
import torch.nn as nn
from mmpretrain.apis import ModelHub
from mmpretrain.models import build_classifier

from mmkd_custom.errors import UserError
from mmkd_custom.models.teachers import MMPretrainTeacher
from mmkd_custom.registry import MODELS

NAME = 'mobilenet-v3-small-050_3rdparty_in1k'
MEAN = [123.675, 116.28, 103.53]
STD = [58.395, 57.12, 57.375]


def small(**options) -> dict:
    return dict(
        dict(
            type='ImageClassifier',
            backbone=dict(
                type='ResNet',
                depth=18,
                base_channels=8,
                stem_channels=8,
                out_indices=(1, 3),
            ),
            neck=dict(type='GlobalAveragePooling'),
            head=dict(type='LinearClsHead', num_classes=7, in_channels=64),
            data_preprocessor=dict(mean=MEAN, std=STD, to_rgb=True),
        ),
        **options,
    )


@pytest.fixture
def images() -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (2, 3, 32, 32), generator=generator).float()


@pytest.fixture(scope='module')
def checkpoint(tmp_path_factory) -> str:
    """Weights of :func:`small` as MMEngine saves them."""
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp('weights') / 'epoch_1.pth'
    torch.save(dict(state_dict=build_classifier(small()).state_dict()), path)
    return str(path)


def test_feature_and_logits_equal_get_model(images):
    torch.manual_seed(0)
    teacher = MMPretrainTeacher(NAME)
    torch.manual_seed(0)
    reference = mmpretrain.get_model(NAME)
    inputs = teacher.prepare(images)
    output = teacher(inputs)
    with torch.no_grad():
        feature = reference.extract_feat(inputs, stage='pre_logits')
        logits = reference(inputs)
    assert torch.allclose(output.feature, feature, atol=1e-6)
    assert torch.allclose(output.logits, logits, atol=1e-6)
    assert teacher.feature_dim == feature.shape[1]
    assert teacher.num_classes == 1000


def test_preprocessing_equals_the_models_own(images):
    teacher = MMPretrainTeacher(NAME)
    reference = mmpretrain.get_model(NAME).data_preprocessor
    # The reference is given what a loader gives: B, G, R.
    wanted = reference(dict(inputs=images.flip(1)))['inputs']
    assert torch.allclose(teacher.prepare(images), wanted, atol=1e-5)
    assert torch.allclose(torch.tensor(teacher.mean), torch.tensor(MEAN))


@pytest.mark.parametrize('to_rgb', [True, False])
def test_order_of_channels(images, checkpoint, to_rgb):
    preprocessor = dict(
        mean=MEAN if to_rgb else MEAN[::-1],
        std=STD if to_rgb else STD[::-1],
        to_rgb=to_rgb,
    )
    config = small(data_preprocessor=preprocessor)
    teacher = MMPretrainTeacher(config, checkpoint=checkpoint)
    reference = build_classifier(config).eval()
    reference.load_state_dict(torch.load(checkpoint)['state_dict'])
    inputs = reference.data_preprocessor(dict(inputs=images.flip(1)))
    with torch.no_grad():
        wanted = reference(inputs['inputs'])
    output = teacher(teacher.prepare(images))
    assert torch.allclose(output.logits, wanted, atol=1e-4)
    assert torch.allclose(torch.tensor(teacher.mean), torch.tensor(MEAN))


def test_given_data_preprocessor_wins(images):
    teacher = MMPretrainTeacher(
        small(),
        data_preprocessor=dict(mean=[0] * 3, std=[255] * 3, to_rgb=True),
    )
    assert torch.allclose(teacher.prepare(images), images / 255)


def test_config_is_left_as_it_was():
    config = small()
    MMPretrainTeacher(
        config, data_preprocessor=dict(mean=[0] * 3, std=[1] * 3)
    )
    assert config == small()


def test_without_a_head_the_last_map_is_averaged(images, checkpoint):
    teacher = MMPretrainTeacher(
        small(head=None, neck=None), checkpoint=checkpoint
    )
    inputs = teacher.prepare(images)
    with torch.no_grad():
        last = teacher.model.backbone(inputs)[-1]
    output = teacher(inputs)
    assert last.shape == (2, 64, 1, 1) and output.logits is None
    assert torch.allclose(output.feature, last.flatten(2).mean(2))
    assert (teacher.feature_dim, teacher.num_classes) == (64, None)
    headed = MMPretrainTeacher(small(), checkpoint=checkpoint)
    assert torch.allclose(headed(inputs).feature, output.feature, atol=1e-6)


def test_vision_transformer_and_input_size(images):
    arch = dict(
        embed_dims=32, num_layers=1, num_heads=2, feedforward_channels=64
    )
    teacher = MMPretrainTeacher(
        small(
            backbone=dict(
                type='VisionTransformer', arch=arch, img_size=64, patch_size=16
            ),
            neck=None,
            head=dict(
                type='VisionTransformerClsHead',
                num_classes=7,
                in_channels=32,
                hidden_dim=48,
            ),
        ),
        input_size=48,
    )
    inputs = teacher.prepare(images)
    output = teacher(inputs)
    assert inputs.shape == (2, 3, 48, 48)
    assert output.feature.shape == (2, 48) and teacher.feature_dim == 48
    with torch.no_grad():
        last = teacher.model.head.layers.head(output.feature)
    assert torch.allclose(output.logits, last, atol=1e-6)


def test_stays_frozen_and_feeds_a_projection(images, checkpoint):
    teacher = MMPretrainTeacher(small(), checkpoint=checkpoint)
    digest = teacher.digest()
    teacher.train()
    projection = nn.Linear(teacher.feature_dim, 2)
    projection(teacher(teacher.prepare(images)).feature).sum().backward()
    assert projection.weight.grad.abs().sum() > 0
    assert teacher.digest() == digest
    assert not any(m.training for m in teacher.modules())
    assert not any(p.requires_grad for p in teacher.parameters())


@pytest.mark.parametrize(
    'model',
    [
        f'mmpretrain::{NAME}',
        'mmpretrain::mobilenet_v3/mobilenet-v3-small-050_8xb128_in1k.py',
    ],
)
def test_ways_of_naming_a_model(model):
    wanted = mmpretrain.get_model(NAME).state_dict()
    found = MMPretrainTeacher(model).model.state_dict()
    assert {k: v.shape for k, v in found.items()} == {
        k: v.shape for k, v in wanted.items()
    }


def test_config_file_of_ones_own(tmp_path):
    path = tmp_path / 'mine.py'
    path.write_text(f'model = {small()!r}')
    teacher = MMPretrainTeacher(str(path))
    assert (teacher.name, teacher.feature_dim) == ('mine', 64)


def test_built_from_a_config():
    teacher = MODELS.build(dict(type='MMPretrainTeacher', model=small()))
    assert isinstance(teacher, MMPretrainTeacher)


def test_random_weights_and_no_normalisation_are_said(log_lines):
    MMPretrainTeacher(small(data_preprocessor=None))
    warnings = [line for line in log_lines if line.startswith('WARNING')]
    assert any('weights are random' in line for line in warnings)
    assert any('normalises nothing' in line for line in warnings)


def test_unknown_name():
    with pytest.raises(UserError, match='nearest:.*resnet18_8xb32_in1k'):
        MMPretrainTeacher('resnet18_8xb32_in')


@pytest.mark.parametrize('path', ['nowhere.py', 'mmpretrain::no/where.py'])
def test_config_file_that_is_missing(path):
    with pytest.raises(UserError, match='names no file') as error:
        MMPretrainTeacher(path)
    assert Path(path.split('::')[-1]).name in str(error.value)


def test_model_that_is_no_image_classifier():
    with pytest.raises(UserError, match='TimmClassifier.*TimmTeacher'):
        MMPretrainTeacher(
            dict(type='TimmClassifier', model_name='mobilenetv3_small_050')
        )


def test_feature_that_is_no_vector():
    arch = dict(
        embed_dims=16, num_layers=1, num_heads=2, feedforward_channels=16
    )
    backbone = dict(
        type='VisionTransformer', arch=arch, img_size=32, out_type='raw'
    )
    with pytest.raises(UserError, match='one vector'):
        MMPretrainTeacher(small(backbone=backbone, neck=None, head=None))


def test_checkpoint_that_does_not_match(checkpoint):
    head = dict(type='LinearClsHead', num_classes=9, in_channels=64)
    with pytest.raises(UserError, match=r'head.fc.weight \(came \(7, 64\)'):
        MMPretrainTeacher(small(head=head), checkpoint=checkpoint)


def test_two_sources_of_weights():
    with pytest.raises(UserError, match='both name weights'):
        MMPretrainTeacher(small(), checkpoint='x.pth', pretrained=True)


def test_pretrained_without_a_known_file():
    with pytest.raises(UserError, match='names no pretrained weights'):
        MMPretrainTeacher(small(), pretrained=True)


def test_download_that_fails_says_which_file(monkeypatch, tmp_path):
    monkeypatch.setattr(torch.hub, 'get_dir', lambda: str(tmp_path))

    def refuse(*args, **kwargs):
        raise OSError('no network')

    monkeypatch.setattr(torch.hub, 'download_url_to_file', refuse)
    with pytest.raises(UserError, match='no network') as error:
        MMPretrainTeacher(NAME, pretrained=True)
    assert ModelHub.get(NAME).weights in str(error.value)
    assert 'checkpoint=<path of' in str(error.value)
