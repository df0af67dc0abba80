"""Tests of the layouts and tags that weights of open_clip models come in."""

from __future__ import annotations

import open_clip
import pytest
import torch
from safetensors.torch import save_file

from mmkd_custom.errors import UserError
from mmkd_custom.models.teachers.open_clip.models import tell_of_quick_gelu
from mmkd_custom.models.teachers.open_clip.teacher import OpenCLIPTeacher
from mmkd_custom.models.teachers.open_clip.weights import tag_card
from tests.models.teachers.open_clip import open_clip_models as tiny

NAMES = ['cat', 'alarm clock']


@pytest.fixture(scope='module', autouse=True)
def models(tmp_path_factory):
    tiny.register(tmp_path_factory.mktemp('configs'))


def openai(state):
    """What ``state_dict()`` of OpenAI's archives holds, in half precision."""
    return {
        **{key: value.half() for key, value in state.items()},
        'input_resolution': torch.tensor(32),
        'context_length': torch.tensor(77),
        'vocab_size': torch.tensor(49408),
    }


def trained(state):
    """What open_clip's own training saves."""
    weights = {f'module.{key}': value for key, value in state.items()}
    return dict(epoch=3, name='run', state_dict=weights)


def image_tower(state):
    return {k: v for k, v in state.items() if k.startswith('visual.')}


def bare_tower(state):
    return {k[len('visual.') :]: v for k, v in image_tower(state).items()}


def save(content, path):
    if path.suffix == '.safetensors':
        save_file(content, str(path))
    else:
        torch.save(content, path)
    return str(path)


@pytest.mark.parametrize(
    'name, layout, file, names',
    [
        ('tiny-vit', dict, 'w.pth', [None, NAMES]),
        ('tiny-coca', dict, 'w.safetensors', [None, NAMES]),
        ('tiny-convnext', dict, 'w.bin', [None, NAMES]),
        ('tiny-vit', trained, 'w.pt', [None, NAMES]),
        ('tiny-coca', image_tower, 'w.safetensors', [None]),
        ('tiny-vit', bare_tower, 'w.pth', [None]),
        ('tiny-convnext', bare_tower, 'w.pth', [None]),
    ],
)
def test_layouts(name, layout, file, names, tmp_path):
    model = tiny.build(name)
    path = save(layout(model.state_dict()), tmp_path / file)
    for class_names in names:
        teacher = OpenCLIPTeacher(
            name, checkpoint=path, class_names=class_names
        )
        images = torch.randn(2, 3, *teacher.input_size)
        wanted = tiny.encode_image(model, images)
        assert torch.allclose(teacher(images).feature, wanted, atol=1e-5)
        assert teacher.weights == path


@pytest.mark.parametrize('class_names', [None, NAMES])
def test_openais_layout_computes_quick_gelu(class_names, tmp_path, log_lines):
    model = tiny.build('tiny-vit-quickgelu')
    model.half().float()
    path = save(openai(model.state_dict()), tmp_path / 'w.pth')
    teacher = OpenCLIPTeacher(
        'tiny-vit', checkpoint=path, class_names=class_names
    )
    images = torch.randn(2, 3, 32, 32)
    wanted = tiny.encode_image(model, images)
    assert torch.allclose(teacher(images).feature, wanted, atol=1e-5)
    assert any("layout of OpenAI's CLIP" in line for line in log_lines)
    assert not any('computes GELU' in line for line in log_lines)


def test_twin_with_quick_gelu_is_named(tmp_path, log_lines):
    path = save(tiny.build('tiny-vit').state_dict(), tmp_path / 'w.pth')
    OpenCLIPTeacher('tiny-vit', checkpoint=path)
    assert any("name 'tiny-vit-quickgelu'" in line for line in log_lines)
    log_lines.clear()
    tell_of_quick_gelu('ViT-B-16')
    # Tags of some versions say nothing of it.
    card = tag_card('ViT-B-16', 'openai')
    named = 'as openai, ' if card.get('quick_gelu') else 'as those of OpenAI '
    assert named in log_lines[0]
    log_lines.clear()
    OpenCLIPTeacher('tiny-vit-quickgelu', checkpoint=path)
    assert not any('computes GELU' in line for line in log_lines)


def test_scale_and_bias_of_any_shape(tmp_path):
    state = tiny.build('tiny-sig').state_dict()
    state['logit_scale'] = torch.tensor([2.0])
    state['logit_bias'] = torch.tensor([-7.0])
    teacher = OpenCLIPTeacher(
        'tiny-sig',
        checkpoint=save(state, tmp_path / 'w.pth'),
        class_names=NAMES,
    )
    assert abs(teacher.head.scale.item() - torch.tensor(2.0).exp()) < 1e-5
    assert teacher.head.bias.item() == -7


def test_text_tower_in_the_plain_layout(tmp_path):
    # Early weights of models that keep their text tower in a module.
    state = tiny.build('tiny-scale').state_dict()
    plain = {key.replace('text.', '', 1): v for key, v in state.items()}
    assert plain.keys() != state.keys()
    teachers = [
        OpenCLIPTeacher(
            'tiny-scale',
            checkpoint=save(content, tmp_path / f'{number}.pth'),
            class_names=NAMES,
        )
        for number, content in enumerate((state, plain))
    ]
    assert teachers[0].digest() == teachers[1].digest()


@pytest.mark.parametrize('name, size', [('tiny-vit', 48), ('tiny-resnet', 96)])
def test_position_embeddings_of_another_size(name, size, tmp_path):
    model = tiny.build(name, force_image_size=size)
    path = save(model.state_dict(), tmp_path / 'w.pth')
    # At the size they were stored for, they are not interpolated at all.
    images = torch.randn(2, 3, size, size)
    teacher = OpenCLIPTeacher(name, checkpoint=path, input_size=size)
    wanted = tiny.encode_image(model, images)
    assert torch.allclose(teacher(images).feature, wanted, atol=1e-5)
    if name == 'tiny-vit':
        reference = open_clip.create_model(name).eval()
        open_clip.load_checkpoint(reference, path)
        images = torch.randn(2, 3, 32, 32)
        teacher = OpenCLIPTeacher(name, checkpoint=path)
        wanted = tiny.encode_image(reference, images)
        assert torch.allclose(teacher(images).feature, wanted, atol=1e-5)


def drop(state):
    del state['visual.conv1.weight']


def add(state):
    state['adapter.weight'] = torch.zeros(1)


def drop_text(state):
    del state['ln_final.bias']


def wide(state):
    state.update(tiny.build('tiny-wide', force_image_size=48).state_dict())


def rename(state):
    names = ('vision_model.embeddings.class_embedding', 'logit_scale')
    state.clear()
    state.update({name: torch.zeros(1) for name in names})


def text_alone(state):
    for key in [key for key in state if key.startswith('visual.')]:
        del state[key]


def image_alone(state):
    for key in [key for key in state if not key.startswith('visual.')]:
        del state[key]


@pytest.mark.parametrize(
    'change, class_names, named',
    [
        (drop, None, 'conv1.weight'),
        (add, None, 'adapter.weight'),
        (add, NAMES, 'adapter.weight'),
        (drop_text, NAMES, 'ln_final.bias'),
        (wide, None, 'class_embedding'),
        (rename, None, 'transformers'),
        (text_alone, None, 'missing'),
        (image_alone, NAMES, 'class_names'),
    ],
)
def test_weights_that_do_not_fit(change, class_names, named, tmp_path):
    state = tiny.build('tiny-vit').state_dict()
    change(state)
    path = save(state, tmp_path / 'w.pth')
    with pytest.raises(UserError) as error:
        OpenCLIPTeacher('tiny-vit', checkpoint=path, class_names=class_names)
    assert path in str(error.value) and named in str(error.value)


def test_cards_of_tags():
    card = tag_card('ViT-B-32', 'laion2b_s34b_b79k')
    assert card['interpolation'] == 'bicubic'
    # As open_clip itself spells it.
    assert tag_card('ViT-B-32', 'LAION2B-s34b-b79k') == card
    # The only one there is.
    assert tag_card('ViT-B-16-SigLIP', True) == tag_card(
        'ViT-B-16-SigLIP', 'webli'
    )


@pytest.mark.parametrize(
    'name, tag, named',
    [
        ('ViT-B-32', 'opena', "'openai'"),
        ('ViT-B-32', True, "'openai'"),
        ('tiny-vit', 'openai', 'checkpoint='),
    ],
)
def test_unknown_tags(name, tag, named):
    with pytest.raises(UserError) as error:
        tag_card(name, tag)
    assert 'pretrained' in str(error.value) and named in str(error.value)


def publish(monkeypatch, name, **card):
    """Makes open_clip know weights of a tiny model."""
    card = dict(dict(url='', hf_hub='', mean=None, std=None), **card)
    for module in (open_clip, open_clip.pretrained):
        monkeypatch.setattr(
            module, 'list_pretrained_tags_by_model', lambda model: ['tag']
        )
        monkeypatch.setattr(
            module, 'get_pretrained_cfg', lambda model, tag: card
        )


@pytest.mark.parametrize(
    'card, named',
    [
        (
            dict(hf_hub='someone/clip/'),
            'open_clip_model.safetensors of https://huggingface.co/someone/',
        ),
        (dict(hf_hub='someone/clip/weights.bin'), 'weights.bin of https:'),
        (dict(url='https://nowhere.org/w-1234.pt'), 'https://nowhere.org/w-1'),
    ],
)
def test_weights_that_cannot_be_downloaded(card, named, monkeypatch, tmp_path):
    from huggingface_hub import constants

    def refuse(url):
        raise OSError('no route to host')

    monkeypatch.setattr(constants, 'HF_HUB_OFFLINE', True)
    monkeypatch.setattr(constants, 'HF_HUB_CACHE', str(tmp_path))
    monkeypatch.setattr('urllib.request.urlopen', refuse)
    monkeypatch.setenv('HOME', str(tmp_path))
    publish(monkeypatch, 'tiny-vit', **card)
    with pytest.raises(UserError) as error:
        OpenCLIPTeacher('tiny-vit', pretrained='tag')
    assert named in str(error.value) and 'checkpoint=' in str(error.value)


def test_downloaded_weights(monkeypatch, tmp_path):
    model = tiny.build('tiny-vit-quickgelu')
    path = save(model.state_dict(), tmp_path / 'clip.pth')
    publish(
        monkeypatch,
        'tiny-vit',
        url='https://example.org/clip.pth',
        mean=(0.1, 0.2, 0.3),
        std=(0.5, 0.6, 0.7),
        interpolation='bilinear',
        quick_gelu=True,
    )
    monkeypatch.setattr(open_clip, 'download_pretrained', lambda card: path)
    teacher = OpenCLIPTeacher('tiny-vit', pretrained='tag')
    assert teacher.weights == 'https://example.org/clip.pth'
    assert teacher.mean == pytest.approx((25.5, 51.0, 76.5))
    assert teacher.std == pytest.approx((127.5, 153.0, 178.5))
    assert teacher.preparation.interpolation == 'bilinear'
    images = torch.randn(2, 3, 32, 32)
    wanted = tiny.encode_image(model, images)
    assert torch.allclose(teacher(images).feature, wanted, atol=1e-5)
