"""MMPretrainTeacher computes what MMPretrain does."""

from __future__ import annotations

import mmpretrain
import numpy as np
import pytest
import torch
from mmcv.transforms import Compose
from mmengine.registry import DefaultScope
from mmpretrain.models import build_classifier
from mmpretrain.registry import TRANSFORMS
from PIL import Image

from mmkd_custom.models.teachers import MMPretrainTeacher

from .conftest import MEAN, STD, VIT, small, small_vit


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
    with torch.no_grad():
        logits = reference(batch['inputs'])
    assert torch.allclose(found.logits, logits, atol=1e-4)
    assert teacher.num_classes == 1000


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
    config = small()
    teacher = MMPretrainTeacher(
        config,
        data_preprocessor=dict(mean=[0] * 3, std=[255] * 3, to_rgb=True),
    )
    assert torch.allclose(teacher.prepare(images), images / 255)
    assert config == small()


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


@pytest.mark.parametrize(
    'options',
    [
        dict(max_batch=1),
        pytest.param(dict(compile=True), marks=pytest.mark.slow),
    ],
)
def test_cut_and_compiled_batches_say_the_same(images, options):
    torch.manual_seed(0)
    plain = MMPretrainTeacher(small_vit())
    torch.manual_seed(0)
    compiled = MMPretrainTeacher(small_vit(), **options)
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
    ],
)
def test_half_precision(backbone, size, images):
    outputs, dtype = [], 'bfloat16'
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
