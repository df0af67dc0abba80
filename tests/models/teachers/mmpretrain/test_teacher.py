"""Tests of MMPretrainTeacher."""

from __future__ import annotations

from pathlib import Path

import mmpretrain
import numpy as np
import pytest
import torch
import torch.nn as nn
from mmcv.transforms import Compose
from mmengine.registry import DefaultScope
from mmpretrain.apis import ModelHub
from mmpretrain.models import ResNet, build_classifier
from mmpretrain.registry import TRANSFORMS
from PIL import Image

from mmkd_custom.errors import UserError
from mmkd_custom.models.teachers import MMPretrainTeacher
from mmkd_custom.registry import MODELS

NAME = 'mobilenet-v3-small-050_3rdparty_in1k'
MEAN = [123.675, 116.28, 103.53]
STD = [58.395, 57.12, 57.375]


#: A plain transformer of two blocks, without and with its head.
VIT = dict(
    type='VisionTransformer',
    arch=dict(
        embed_dims=32, num_layers=2, num_heads=2, feedforward_channels=64
    ),
    img_size=32,
    patch_size=16,
)


def small_vit(**options) -> dict:
    return dict(
        type='ImageClassifier',
        backbone=dict(VIT, **options),
        head=dict(
            type='VisionTransformerClsHead', num_classes=7, in_channels=32
        ),
        data_preprocessor=dict(mean=MEAN, std=STD, to_rgb=True),
    )


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


@pytest.mark.parametrize(
    'name', ['resnet18_8xb32_in1k', 'deit-tiny_4xb256_in1k']
)
def test_feature_of_a_file_equals_get_model(name, tmp_path):
    pixels = np.random.RandomState(0).randint(0, 256, (30, 40, 3))
    image = Image.fromarray(pixels.astype(np.uint8)).resize((320, 240))
    image.save(tmp_path / 'image.jpg', quality=95)
    torch.manual_seed(0)
    reference = mmpretrain.get_model(name)
    torch.manual_seed(0)
    teacher = MMPretrainTeacher(name)
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        pipeline = Compose(
            [
                TRANSFORMS.build(step)
                for step in reference._config.test_dataloader.dataset.pipeline
            ]
        )
    packed = pipeline(dict(img_path=str(tmp_path / 'image.jpg')))
    batch = reference.data_preprocessor(dict(inputs=[packed['inputs']]))
    with torch.no_grad():
        wanted = reference.extract_feat(batch['inputs'], stage='pre_logits')
    # A student of another normalisation, and B, G, R as it is loaded.
    mean, std = [104.0, 117.0, 124.0], [57.0, 58.0, 59.0]
    arrived = (
        packed['inputs'].float() - torch.tensor(mean).view(3, 1, 1)
    ) / torch.tensor(std).view(3, 1, 1)
    found = teacher(teacher.prepare(arrived[None], mean, std, to_rgb=False))
    assert found.feature.shape == wanted.shape
    error = (found.feature - wanted).abs().max() / wanted.abs().max()
    assert error < 1e-5


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


def test_offers_and_computes_what_is_wanted(images, monkeypatch):
    teacher = MMPretrainTeacher(small_vit())
    assert teacher.offers == ('feature', 'logits', 'tokens', 'maps')
    assert teacher.dims == {
        'feature': (32,),
        'logits': (7,),
        'tokens': (4, 32),
        'maps.0': (32, 2, 2),
        'maps.1': (32, 2, 2),
    }
    inputs = teacher.prepare(images)
    whole = teacher(inputs, teacher.offers)
    for name in teacher.offers:
        alone = teacher(inputs, (name,)).named_tensors()
        assert all(key.split('.')[0] == name for key in alone)
        for key, value in alone.items():
            assert torch.equal(value, whole.named_tensors()[key])

    def refuse(*args):
        raise AssertionError('the head was asked')

    monkeypatch.setattr(teacher.model.head, 'forward', refuse)
    teacher(inputs, ('feature', 'tokens', 'maps'))
    monkeypatch.setattr(teacher.model.head, 'pre_logits', refuse)
    teacher(inputs, ('tokens', 'maps'))


@pytest.mark.parametrize('feature', ['cls', 'patches'])
def test_feature_of_a_transformer(images, feature):
    torch.manual_seed(0)
    config = small_vit(out_type='avg_featmap')
    teacher = MMPretrainTeacher(config, feature=feature)
    torch.manual_seed(0)
    pooled = MMPretrainTeacher(config)
    inputs = teacher.prepare(images)
    found, other = (each(inputs) for each in (teacher, pooled))
    model = teacher.model.backbone
    model.out_type = 'raw'
    with torch.no_grad():
        raw = model(inputs)[-1]
    wanted = raw[:, 0] if feature == 'cls' else raw[:, 1:].mean(1)
    assert torch.equal(found.feature, wanted)
    # The head still gets its own.
    assert torch.equal(found.logits, other.logits)
    assert not torch.allclose(found.feature, other.feature)


@pytest.mark.parametrize(
    'config, feature, known',
    [
        (small(), 'cls', "'pooled'"),
        (small_vit(), 'mean', "'pooled', 'cls', 'patches'"),
        (
            small_vit(with_cls_token=False, out_type='avg_featmap'),
            'cls',
            "'pooled', 'patches'",
        ),
    ],
)
def test_feature_it_has_not(config, feature, known):
    with pytest.raises(UserError) as error:
        MMPretrainTeacher(config, feature=feature)
    assert f"feature='{feature}'" in str(error.value)
    assert str(error.value).endswith(f'which are {known}.')


def test_several_vectors_are_concatenated(images):
    teacher = MMPretrainTeacher(
        dict(
            type='ImageClassifier',
            backbone=dict(VIT, type='DistilledVisionTransformer'),
            head=dict(type='DeiTClsHead', num_classes=7, in_channels=32),
            data_preprocessor=dict(mean=MEAN, std=STD, to_rgb=True),
        )
    )
    inputs = teacher.prepare(images)
    output = teacher(inputs)
    with torch.no_grad():
        vectors = teacher.model.extract_feat(inputs, stage='pre_logits')
        logits = teacher.model(inputs)
    assert torch.equal(output.feature, torch.cat(vectors, 1))
    assert teacher.feature_dim == 64 and torch.equal(output.logits, logits)


def test_parts_of_a_batch(images):
    teacher = MMPretrainTeacher(small_vit(), max_batch=1)
    inputs = teacher.prepare(images)
    calls = []
    teacher.model.backbone.register_forward_pre_hook(
        lambda _module, args: calls.append(len(args[0]))
    )
    found = teacher(inputs, teacher.offers)
    teacher.max_batch = None
    wanted = teacher(inputs, teacher.offers)
    assert calls == [1, 1, 2] and found.grid == wanted.grid == (2, 2)
    for name, value in wanted.named_tensors().items():
        assert torch.allclose(found.named_tensors()[name], value, atol=1e-6)


@pytest.mark.slow
def test_compiled(images):
    torch.manual_seed(0)
    plain = MMPretrainTeacher(small_vit())
    torch.manual_seed(0)
    compiled = MMPretrainTeacher(small_vit(), compile=True)
    inputs = plain.prepare(images)
    for _ in range(2):
        # Other images, lest a compiled pass gives what it was compiled on.
        inputs = inputs.flip(3) + 0.1
        for wants in (('feature', 'logits'), plain.offers):
            wanted = plain(inputs, wants).named_tensors()
            found = compiled(inputs, wants).named_tensors()
            assert found.keys() == wanted.keys()
            for name, value in wanted.items():
                assert torch.allclose(found[name], value, atol=1e-4), name


def test_size_is_rounded_to_the_patch(log_lines):
    teacher = MMPretrainTeacher(small_vit())
    assert teacher.prepare(torch.zeros(1, 3, 40, 55)).shape[2:] == (32, 48)
    assert any('(40, 55) are resized to (32, 48)' in x for x in log_lines)
    inputs = teacher.prepare(torch.rand(1, 3, 40, 55))
    assert teacher(inputs, ('tokens',)).grid == (2, 3)
    with pytest.raises(UserError, match='multiples of 16'):
        MMPretrainTeacher(small_vit(), input_size=40)
    free = MMPretrainTeacher(small())
    assert free.prepare(torch.zeros(1, 3, 41, 55)).shape[2:] == (41, 55)


@pytest.mark.parametrize('kind', ['ResNet', 'mmpretrain.ResNet', ResNet])
def test_backbone_alone(images, checkpoint, kind):
    headed = MMPretrainTeacher(small(), checkpoint=checkpoint)
    backbone = dict(small()['backbone'], type=kind)
    preprocessor = small()['data_preprocessor']
    # Weights of the classifier, whose head is left out.
    teacher = MMPretrainTeacher(
        backbone, checkpoint=checkpoint, data_preprocessor=preprocessor
    )
    inputs = teacher.prepare(images)
    found, wanted = teacher(inputs), headed(inputs)
    assert teacher.offers == ('feature', 'tokens', 'maps')
    assert teacher.num_classes is None and found.logits is None
    assert torch.allclose(found.feature, wanted.feature, atol=1e-6)
    assert 'ResNet' in teacher.name and '<' not in teacher.name


def test_weights_of_a_backbone_alone(images, checkpoint, tmp_path):
    headed = MMPretrainTeacher(small(), checkpoint=checkpoint)
    path = tmp_path / 'backbone.pth'
    torch.save(headed.model.backbone.state_dict(), path)
    config = tmp_path / 'backbone.py'
    config.write_text(
        f'model = {small()["backbone"]!r}\n'
        f'data_preprocessor = {small()["data_preprocessor"]!r}\n'
    )
    teacher = MMPretrainTeacher(str(config), checkpoint=str(path))
    inputs = headed.prepare(images)
    assert torch.equal(teacher.prepare(images), inputs)
    assert torch.allclose(
        teacher(inputs).feature, headed(inputs).feature, atol=1e-6
    )


@pytest.mark.parametrize('dtype', ['bfloat16', 'float16'])
@pytest.mark.parametrize(
    'backbone, size',
    [
        (
            dict(
                type='SwinTransformer',
                arch=dict(embed_dims=24, depths=[2, 2], num_heads=[1, 2]),
                out_indices=(1,),
                img_size=32,
                window_size=4,
            ),
            32,
        ),
        (dict(type='XCiT', depth=1, embed_dims=32, num_heads=2), 64),
        (VIT, 32),
    ],
)
def test_half_precision(backbone, size, dtype, images):
    outputs = []
    for each in ('float32', dtype):
        torch.manual_seed(0)
        teacher = MMPretrainTeacher(
            backbone,
            input_size=size,
            dtype=each,
            data_preprocessor=small()['data_preprocessor'],
        )
        output = teacher(teacher.prepare(images), teacher.offers)
        outputs.append(output.named_tensors())
    wanted, found = outputs
    assert {p.dtype for p in teacher.parameters()} == {getattr(torch, dtype)}
    assert found.keys() == wanted.keys()
    for name, value in wanted.items():
        assert found[name].dtype == torch.float32
        error = (found[name] - value).abs().mean() / value.abs().mean()
        assert 0 < error < 0.05, name


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


@pytest.mark.parametrize(
    'model, words',
    [
        (
            dict(type='ResNext', depth=50),
            "'ResNext', which.*nearest:.*'ResNeXt'",
        ),
        (dict(depth=50), 'the type None, which MMPretrain does not know'),
    ],
)
def test_unknown_type(model, words):
    with pytest.raises(UserError, match=words):
        MMPretrainTeacher(model)


@pytest.mark.parametrize(
    'options, words',
    [
        (dict(backbone=dict(type='ResNet', depth=19)), 'invalid depth 19'),
        (dict(backbone=dict(type='ResNext')), 'ResNext is not in'),
        (dict(neck=dict(type='GlobalAveragePooling', x=1)), "'x'"),
        (dict(data_preprocessor=dict(means=MEAN)), "'means'"),
    ],
)
def test_model_that_cannot_be_built(options, words):
    with pytest.raises(UserError, match=f'cannot build it.*{words}'):
        MMPretrainTeacher(small(**options))


def test_transformer_of_one_size_refuses_the_students(images):
    beit = dict(VIT, type='BEiTViT', out_type='avg_featmap')
    with pytest.raises(UserError, match='one input size.*input_size=32'):
        MMPretrainTeacher(beit)
    teacher = MMPretrainTeacher(beit, input_size=32)
    assert teacher(images, ['tokens']).grid == (2, 2)


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
