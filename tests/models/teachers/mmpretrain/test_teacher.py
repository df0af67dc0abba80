"""MMPretrainTeacher computes what MMPretrain does."""

from __future__ import annotations

import mmpretrain
import numpy as np
import pytest
import torch
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


def test_size_is_rounded_to_the_patch():
    teacher = MMPretrainTeacher(small_vit())
    inputs = teacher.prepare(torch.rand(1, 3, 40, 55))
    assert inputs.shape[2:] == (32, 48)
    assert teacher(inputs, ('tokens',)).grid == (2, 3)
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


def test_built_from_a_config():
    teacher = MODELS.build(dict(type='MMPretrainTeacher', model=small()))
    assert isinstance(teacher, MMPretrainTeacher)


def test_random_weights_and_no_normalisation_are_said(log_lines):
    MMPretrainTeacher(small(data_preprocessor=None))
    warnings = [line for line in log_lines if line.startswith('WARNING')]
    assert any('random' in line for line in warnings)
    assert any('data_preprocessor' in line for line in warnings)


BEIT = dict(VIT, type='BEiTViT', out_type='avg_featmap')


def test_transformer_of_one_size(images):
    teacher = MMPretrainTeacher(BEIT, input_size=32)
    assert teacher(images, ['tokens']).grid == (2, 2)


@pytest.mark.parametrize(
    'model, options, named',
    [
        ('resnet18_8xb32_in', {}, 'resnet18_8xb32_in1k'),
        ('nowhere.py', {}, 'nowhere.py'),
        ('mmpretrain::no/where.py', {}, 'where.py'),
        (dict(type='ResNext', depth=50), {}, "'ResNext'.*'ResNeXt'"),
        (dict(depth=50), {}, 'None'),
        (small(backbone=dict(type='ResNet', depth=19)), {}, 'depth 19'),
        (small(backbone=dict(type='ResNext')), {}, 'ResNext'),
        (small(neck=dict(type='GlobalAveragePooling', x=1)), {}, "'x'"),
        (small(data_preprocessor=dict(means=MEAN)), {}, "'means'"),
        (BEIT, {}, 'input_size=32'),
        (small_vit(), dict(input_size=40), 'input_size.*16.*40'),
        (small(), dict(colour=3), "'colour'"),
        (small(), dict(feature='cls'), "pooled, got 'cls'"),
        (small_vit(), dict(feature='mean'), "patches, got 'mean'"),
        (
            small_vit(with_cls_token=False, out_type='avg_featmap'),
            dict(feature='cls'),
            "pooled, patches, got 'cls'",
        ),
        (small(), dict(map_indices=[7]), r'map_indices.*\[7\]'),
        (
            dict(type='TimmClassifier', model_name='mobilenetv3_small_050'),
            {},
            'TimmClassifier.*TimmTeacher',
        ),
        (dict(VIT, out_type='raw'), dict(input_size=32), r'\(1, D\)'),
        (small(), dict(checkpoint='x.pth', pretrained=True), "'x.pth'"),
        (small(), dict(pretrained=True), 'checkpoint='),
    ],
)
def test_what_is_refused(model, options, named):
    with pytest.raises(UserError, match=named):
        MMPretrainTeacher(model, **options)


def test_checkpoint_that_does_not_match(checkpoint):
    head = dict(type='LinearClsHead', num_classes=9, in_channels=64)
    with pytest.raises(UserError, match=r'head.fc.weight.*\(7, 64\)'):
        MMPretrainTeacher(small(head=head), checkpoint=checkpoint)


def test_download_that_fails_says_which_file(monkeypatch, tmp_path):
    monkeypatch.setattr(torch.hub, 'get_dir', lambda: str(tmp_path))

    def refuse(*args, **kwargs):
        raise OSError('no network')

    monkeypatch.setattr(torch.hub, 'download_url_to_file', refuse)
    with pytest.raises(UserError, match='checkpoint=<path of') as error:
        MMPretrainTeacher(NAME, pretrained=True)
    assert ModelHub.get(NAME).weights in str(error.value)
