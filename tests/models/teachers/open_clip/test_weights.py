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


def text_tower(state):
    return {k: v for k, v in state.items() if not k.startswith('visual.')}


def save(content, path):
    if path.suffix == '.safetensors':
        save_file(content, str(path))
    else:
        torch.save(content, path)
    return str(path)


@pytest.mark.parametrize('name', ['tiny-vit', 'tiny-coca', 'tiny-convnext'])
@pytest.mark.parametrize(
    'layout, file, has_text',
    [
        (dict, 'w.pth', True),
        (dict, 'w.safetensors', True),
        (dict, 'w.bin', True),
        (trained, 'w.pt', True),
        (image_tower, 'w.safetensors', False),
        (bare_tower, 'w.pth', False),
    ],
)
def test_layouts(name, layout, file, has_text, tmp_path, log_lines):
    model = tiny.build(name)
    path = save(layout(model.state_dict()), tmp_path / file)
    for class_names in (None, NAMES) if has_text else (None,):
        teacher = OpenCLIPTeacher(
            name, checkpoint=path, class_names=class_names
        )
        images = torch.randn(2, 3, *teacher.input_size)
        wanted = tiny.encode_image(model, images)
        assert torch.allclose(teacher(images).feature, wanted, atol=1e-5)
        assert teacher.weights == path
    if layout is not bare_tower:
        said = [line for line in log_lines if 'layout of open_clip' in line]
        assert len(said) == (2 if has_text else 1)


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
    other = tiny.build('tiny-vit')
    other.load_state_dict(model.state_dict())
    assert not torch.allclose(
        tiny.encode_image(other, images), wanted, atol=1e-4
    )
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


def test_position_embeddings_of_another_size(tmp_path):
    model = tiny.build('tiny-vit', force_image_size=48)
    path = save(model.state_dict(), tmp_path / 'w.pth')
    reference = open_clip.create_model('tiny-vit').eval()
    open_clip.load_checkpoint(reference, path)
    images = torch.randn(2, 3, 32, 32)
    teacher = OpenCLIPTeacher('tiny-vit', checkpoint=path)
    wanted = tiny.encode_image(reference, images)
    assert torch.allclose(teacher(images).feature, wanted, atol=1e-5)
    # At the size they were stored for, they are not interpolated at all.
    large = torch.randn(2, 3, 48, 48)
    teacher = OpenCLIPTeacher('tiny-vit', checkpoint=path, input_size=48)
    wanted = tiny.encode_image(model, large)
    assert torch.allclose(teacher(large).feature, wanted, atol=1e-5)


def test_position_embeddings_of_a_resnet_of_another_size(tmp_path):
    model = tiny.build('tiny-resnet', force_image_size=96)
    path = save(model.state_dict(), tmp_path / 'w.pth')
    images = torch.randn(2, 3, 96, 96)
    teacher = OpenCLIPTeacher('tiny-resnet', checkpoint=path, input_size=96)
    wanted = tiny.encode_image(model, images)
    assert torch.allclose(teacher(images).feature, wanted, atol=1e-5)


def drop(state):
    del state['visual.conv1.weight']


def add(state):
    state['adapter.weight'] = torch.zeros(1)


def drop_text(state):
    del state['ln_final.bias']


@pytest.mark.parametrize(
    'change, class_names, message',
    [
        (drop, None, '1 missing: conv1.weight'),
        (add, None, '1 unexpected: adapter.weight'),
        (add, NAMES, '1 unexpected: adapter.weight'),
        (drop_text, NAMES, '1 missing: ln_final.bias'),
    ],
)
def test_partial_weights(change, class_names, message, tmp_path):
    state = tiny.build('tiny-vit').state_dict()
    change(state)
    path = save(state, tmp_path / 'w.pth')
    with pytest.raises(UserError, match=f'does not match.*{message}'):
        OpenCLIPTeacher('tiny-vit', checkpoint=path, class_names=class_names)


def test_lacking_text_tower_is_not_missed_without_names(tmp_path):
    state = tiny.build('tiny-vit').state_dict()
    drop_text(state)
    OpenCLIPTeacher('tiny-vit', checkpoint=save(state, tmp_path / 'w.pth'))


@pytest.mark.parametrize('size', [32, 48])
def test_weights_of_another_width(size, tmp_path):
    state = tiny.build('tiny-wide', force_image_size=size).state_dict()
    path = save(state, tmp_path / 'w.pth')
    message = r'class_embedding \(came \(48,\), wanted \(32,\)\)'
    with pytest.raises(UserError, match=message):
        OpenCLIPTeacher('tiny-vit', checkpoint=path)


@pytest.mark.parametrize('layout', [image_tower, bare_tower])
def test_text_head_of_an_image_tower(layout, tmp_path):
    state = layout(tiny.build('tiny-vit').state_dict())
    path = save(state, tmp_path / 'w.pth')
    with pytest.raises(UserError, match='image tower alone, but class_names'):
        OpenCLIPTeacher('tiny-vit', checkpoint=path, class_names=NAMES)


def test_layout_of_transformers(tmp_path):
    names = ('vision_model.embeddings.class_embedding', 'logit_scale')
    path = save({n: torch.zeros(1) for n in names}, tmp_path / 'model.pth')
    with pytest.raises(UserError, match='layout of transformers.*open_clip_m'):
        OpenCLIPTeacher('tiny-vit', checkpoint=path)


def test_text_tower_alone(tmp_path):
    state = text_tower(tiny.build('tiny-vit').state_dict())
    path = save(state, tmp_path / 'w.pth')
    with pytest.raises(UserError, match='does not match.*missing'):
        OpenCLIPTeacher('tiny-vit', checkpoint=path)


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
    'name, tag, message',
    [
        ('ViT-B-32', 'opena', "pretrained='opena' of.*nearest: 'openai'"),
        (
            'ViT-B-32',
            True,
            "True, but open_clip has .* of one is wanted, such as 'openai'",
        ),
        ('tiny-vit', 'openai', 'no pretrained weights.*checkpoint=<path>'),
    ],
)
def test_unknown_tags(name, tag, message):
    with pytest.raises(UserError, match=message):
        tag_card(name, tag)


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
    'file, named',
    [
        ('someone/clip/', 'open_clip_model.safetensors'),
        ('someone/clip/weights.bin', 'weights.bin'),
    ],
)
def test_hub_that_cannot_be_reached(file, named, monkeypatch, tmp_path):
    from huggingface_hub import constants

    monkeypatch.setattr(constants, 'HF_HUB_OFFLINE', True)
    monkeypatch.setattr(constants, 'HF_HUB_CACHE', str(tmp_path))
    publish(monkeypatch, 'tiny-vit', hf_hub=file)
    with pytest.raises(UserError, match='checkpoint=<path>') as error:
        OpenCLIPTeacher('tiny-vit', pretrained='tag')
    assert f'{named} of https://huggingface.co/someone/clip ' in str(
        error.value
    )


def test_url_that_cannot_be_reached(monkeypatch, tmp_path):
    def refuse(url):
        raise OSError('no route to host')

    monkeypatch.setattr('urllib.request.urlopen', refuse)
    monkeypatch.setenv('HOME', str(tmp_path))
    url = 'https://example.org/clip/weights-1234.pt'
    publish(monkeypatch, 'tiny-vit', url=url)
    message = f'no route to host.*download {url} elsewhere.*checkpoint='
    with pytest.raises(UserError, match=message):
        OpenCLIPTeacher('tiny-vit', pretrained='tag')


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
