"""Short names of teachers."""

import json

import pytest
import timm
from safetensors.torch import save_file

from mmkd_custom.errors import UserError
from mmkd_custom.expand.key import Key
from mmkd_custom.expand.teachers import teacher_config
from mmkd_custom.registry import MODELS


def config_of(name, **options):
    return teacher_config(Key(teacher=name, unlabelled=None, **options))


@pytest.mark.parametrize(
    'name, config',
    [
        (
            'timm/vit_small_patch14_dinov2.lvd142m',
            dict(
                type='mmkd_custom.TimmTeacher',
                model_name='vit_small_patch14_dinov2.lvd142m',
                pretrained=True,
            ),
        ),
        (
            'open_clip/ViT-B-16:laion2b_s34b_b88k',
            dict(
                type='mmkd_custom.OpenCLIPTeacher',
                model_name='ViT-B-16',
                pretrained='laion2b_s34b_b88k',
            ),
        ),
        (
            'open_clip/ViT-B-16-SigLIP',
            dict(
                type='mmkd_custom.OpenCLIPTeacher',
                model_name='ViT-B-16-SigLIP',
                pretrained=True,
            ),
        ),
        (
            'mmpretrain/resnet50_8xb32_in1k',
            dict(
                type='mmkd_custom.MMPretrainTeacher',
                model='resnet50_8xb32_in1k',
                pretrained=True,
            ),
        ),
    ],
)
def test_names(name, config):
    assert config_of(name) == config
    assert config_of(name, teacher_size=98) == dict(config, input_size=98)


def test_the_size_is_of_the_network_inside():
    # A probe has none.
    inner = dict(type='TimmTeacher', model_name='test_vit')
    probed = dict(type='ProbedTeacher', probe='p.st', teacher=inner)
    config = config_of(probed, teacher_size=98)
    assert config == dict(
        type='mmkd_custom.ProbedTeacher',
        probe='p.st',
        teacher=dict(inner, type='mmkd_custom.TimmTeacher', input_size=98),
    )


@pytest.fixture
def weights(tmp_path):
    def write(name):
        model = timm.create_model('test_vit')
        save_file(model.state_dict(), tmp_path / name)
        return tmp_path / name

    return write


def test_file_says_its_network(weights, tmp_path):
    # By its name, by what is said, and by timm's own file beside it.
    for name, given in (
        ('test_vit.r160_in1k.safetensors', ''),
        ('w.safetensors', ':test_vit'),
    ):
        config = config_of(f'file/{weights(name)}{given}')
        assert MODELS.build(config).model.state_dict().keys()
    (tmp_path / 'config.json').write_text(
        json.dumps(dict(architecture='test_vit'))
    )
    config = config_of(f'file/{weights("w.safetensors")}')
    assert config['model_name'] == 'test_vit'


@pytest.mark.parametrize(
    'name, said',
    [
        ('tim/resnet18', "nearest: 'timm'"),
        ('resnet18', 'timm/'),
        ('timm/', 'timm/'),
        ('file/nowhere.safetensors', 'nowhere.safetensors'),
    ],
)
def test_wrong_names(name, said):
    with pytest.raises(UserError, match=said):
        config_of(name)


def test_file_of_an_unknown_network(weights):
    with pytest.raises(UserError, match='file/PATH:NAME'):
        config_of(f'file/{weights("w.safetensors")}')
