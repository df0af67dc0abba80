"""What MMPretrainTeacher is built from: names, configs, files, weights."""

from __future__ import annotations

import mmpretrain
import pytest
import torch
from mmpretrain.apis import ModelHub
from mmpretrain.models import ResNet

from mmkd_custom.errors import UserError
from mmkd_custom.models.teachers import MMPretrainTeacher

from .conftest import MEAN, VIT, small, small_vit

NAME = 'mobilenet-v3-small-050_3rdparty_in1k'


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
