"""Tests of OpenCLIPTeacher."""

from __future__ import annotations

import json
import logging
import sys
from typing import Tuple

import numpy as np
import open_clip
import pytest
import torch
import torch.nn as nn
import torch.nn.functional as F
from mmengine.config import Config
from PIL import Image
from torchvision.transforms import Compose

from mmkd_custom.errors import UserError
from mmkd_custom.models.teachers.open_clip.teacher import OpenCLIPTeacher
from mmkd_custom.registry import MODELS
from tests.models.teachers.open_clip import open_clip_models as tiny

NAMES = ['alarm clock', 'bike', 'a {candle}']
TEMPLATES = ['a photo of a {}.', '{}', 'the {} on a table']

IMAGENET_MEAN = (123.675, 116.28, 103.53)
IMAGENET_STD = (58.395, 57.12, 57.375)


@pytest.fixture(scope='module', autouse=True)
def models(tmp_path_factory):
    tiny.register(tmp_path_factory.mktemp('configs'))


@pytest.fixture(scope='module')
def weights(tmp_path_factory):
    """Where the weights of a tiny model are."""
    folder = tmp_path_factory.mktemp('weights')

    def path_of(name: str) -> str:
        path = folder / f'{name}.pth'
        if not path.exists():
            torch.save(tiny.build(name).state_dict(), path)
        return str(path)

    return path_of


@pytest.fixture(scope='module')
def photo(tmp_path_factory) -> Image.Image:
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 256, (12, 16, 3), dtype=np.uint8)
    path = tmp_path_factory.mktemp('images') / 'photo.jpg'
    image = Image.fromarray(coarse).resize((420, 310), Image.BICUBIC)
    image.save(path, quality=90)
    return Image.open(path)


def relative(found: torch.Tensor, wanted: torch.Tensor) -> float:
    assert found.shape == wanted.shape
    return ((found - wanted).abs().max() / wanted.abs().max()).item()


def as_student_sees(
    transform: Compose, image: Image.Image, to_rgb: bool
) -> torch.Tensor:
    """The library's crop in 0-255, normalised as a student's batch is."""
    pixels = Compose(transform.transforms[:-1])(image).mul(255).round()
    if not to_rgb:
        pixels = pixels.flip(0)
    mean, std = (
        torch.tensor(v if to_rgb else v[::-1]).view(3, 1, 1)
        for v in (IMAGENET_MEAN, IMAGENET_STD)
    )
    return ((pixels - mean) / std)[None]


def prepare(teacher, inputs: torch.Tensor, to_rgb: bool) -> torch.Tensor:
    mean, std = (
        v if to_rgb else v[::-1] for v in (IMAGENET_MEAN, IMAGENET_STD)
    )
    return teacher.prepare(inputs, mean, std, to_rgb)


def zero_shot(model, name: str, images: torch.Tensor) -> torch.Tensor:
    """The definition, class by class, with the library's own parts."""
    tokenizer = open_clip.get_tokenizer(name)
    with torch.no_grad():
        columns = []
        for class_name in NAMES:
            texts = [t.replace('{}', class_name) for t in TEMPLATES]
            text = model.encode_text(tokenizer(texts), normalize=False)
            mean = F.normalize(text.double(), dim=1).mean(0)
            columns.append(mean / mean.norm())
        image = tiny.encode_image(model, images).double()
        logits = F.normalize(image, dim=1) @ torch.stack(columns, 1)
        logits = logits * model.logit_scale.double().exp()
        if getattr(model, 'logit_bias', None) is not None:
            logits = logits + model.logit_bias.double()
    return logits.float()


def check_feature_of_a_file(model, transform, photo, teacher) -> None:
    wanted = tiny.encode_image(model.eval(), transform(photo)[None])
    for to_rgb in (True, False):
        inputs = as_student_sees(transform, photo, to_rgb)
        assert inputs.shape[2:] == teacher.input_size
        found = teacher(prepare(teacher, inputs, to_rgb)).feature
        assert relative(found, wanted) < 1e-5


@pytest.mark.parametrize('name', tiny.FAMILIES)
def test_feature_of_a_file_in_every_family(name, weights, photo):
    model, _, transform = open_clip.create_model_and_transforms(
        name, pretrained=weights(name)
    )
    teacher = OpenCLIPTeacher(name, checkpoint=weights(name))
    check_feature_of_a_file(model, transform, photo, teacher)


@pytest.mark.slow
@pytest.mark.parametrize('name', ['ViT-B-16', 'convnext_tiny'])
def test_feature_of_a_file_at_real_size(name, photo, tmp_path):
    text = dict(context_length=8, vocab_size=9, width=8, heads=1, layers=1)
    torch.manual_seed(0)
    model, _, transform = open_clip.create_model_and_transforms(
        name, text_cfg=text
    )
    path = str(tmp_path / 'w.pth')
    torch.save(model.state_dict(), path)
    teacher = OpenCLIPTeacher(name, checkpoint=path)
    check_feature_of_a_file(model, transform, photo, teacher)


@pytest.mark.slow
def test_feature_and_logits_of_a_file_at_real_size(photo, tmp_path):
    torch.manual_seed(0)
    model, _, transform = open_clip.create_model_and_transforms('ViT-B-32')
    path = str(tmp_path / 'w.pth')
    torch.save(model.eval().state_dict(), path)
    teacher = OpenCLIPTeacher(
        'ViT-B-32', checkpoint=path, class_names=NAMES, templates=TEMPLATES
    )
    check_feature_of_a_file(model, transform, photo, teacher)
    inputs = as_student_sees(transform, photo, True)
    logits = teacher(prepare(teacher, inputs, True)).logits
    wanted = zero_shot(model, 'ViT-B-32', transform(photo)[None])
    assert relative(logits, wanted) < 1e-5
    visual = sum(p.numel() for p in model.visual.parameters())
    assert sum(p.numel() for p in teacher.parameters()) == visual


@pytest.mark.parametrize('name', tiny.FAMILIES)
def test_zero_shot_of_every_family(name, weights):
    model = tiny.build(name)
    teacher = OpenCLIPTeacher(
        name,
        checkpoint=weights(name),
        class_names=NAMES,
        templates=TEMPLATES,
    )
    classifier = open_clip.build_zero_shot_classifier(
        model, open_clip.get_tokenizer(name), NAMES, TEMPLATES
    )
    assert torch.allclose(teacher.head.weight, classifier, atol=1e-6)
    images = torch.randn(2, 3, *teacher.input_size)
    output = teacher(images)
    wanted = zero_shot(model, name, images)
    assert torch.allclose(output.logits, wanted, atol=1e-4)
    assert teacher.num_classes == 3 and teacher.class_names == tuple(NAMES)
    wanted = tiny.encode_image(model, images)
    assert torch.allclose(output.feature, wanted, atol=1e-5)


@pytest.mark.parametrize('class_names', [None, NAMES])
@pytest.mark.parametrize('name', ['tiny-vit', 'tiny-coca', 'tiny-sig'])
def test_text_tower_is_gone(name, class_names, weights):
    teacher = OpenCLIPTeacher(
        name, checkpoint=weights(name), class_names=class_names
    )
    visual = tiny.build(name).visual
    wanted = sum(p.numel() for p in visual.parameters())
    assert sum(p.numel() for p in teacher.parameters()) == wanted
    assert not any(
        isinstance(module, nn.Embedding) for module in teacher.modules()
    )
    held = {'tower', 'head'} if class_names else {'tower'}
    assert {key.split('.')[0] for key in teacher.state_dict()} == held


def test_names_change_the_digest_and_the_logits_alone(weights):
    teachers = [
        OpenCLIPTeacher(
            'tiny-vit', checkpoint=weights('tiny-vit'), class_names=names
        )
        for names in (['cat', 'dog'], ['cat', 'cow'])
    ]
    assert teachers[0].digest() != teachers[1].digest()
    images = torch.randn(2, 3, 32, 32)
    first, second = (teacher(images) for teacher in teachers)
    assert torch.equal(first.feature, second.feature)
    assert torch.equal(first.logits[:, 0], second.logits[:, 0])
    assert not torch.allclose(first.logits[:, 1], second.logits[:, 1])


@pytest.mark.parametrize('feature', ['pooled', 'cls', 'patches'])
def test_feature_by_name(feature, weights):
    images = torch.randn(2, 3, 32, 32)
    teacher, projected = (
        OpenCLIPTeacher(
            'tiny-clipa',
            checkpoint=weights('tiny-clipa'),
            feature=name,
            class_names=NAMES,
        )
        for name in (feature, None)
    )
    assert teacher.feature_dim == 32 and projected.feature_dim == 12
    output = teacher(images, teacher.offers)
    tower = teacher.tower
    with torch.no_grad():
        wanted = getattr(tower, feature)(tower.consume(images, False))
    assert torch.equal(output.feature, wanted)
    if feature == 'patches':
        assert torch.allclose(output.feature, output.tokens.mean(1))
    # Which tensor the feature is changes no logit.
    assert torch.allclose(output.logits, projected(images).logits)


def test_only_what_is_wanted_is_computed(weights, monkeypatch):
    teacher = OpenCLIPTeacher(
        'tiny-vit', checkpoint=weights('tiny-vit'), class_names=NAMES
    )
    images = torch.randn(2, 3, 32, 32)
    asked = []
    for method in ('projected', 'tokens'):
        own = getattr(teacher.tower, method)
        monkeypatch.setattr(
            teacher.tower,
            method,
            lambda c, own=own, method=method: asked.append(method) or own(c),
        )
    output = teacher(images, ['tokens'])
    assert output.grid == (4, 4) and output.tokens.shape == (2, 16, 32)
    assert asked == ['tokens'] and output.maps is None
    teacher(images)
    assert asked == ['tokens', 'projected']
    assert len(teacher(images, ['maps']).maps) == 4
    assert asked == ['tokens', 'projected']
    assert set(teacher.offers) == {'feature', 'logits', 'tokens', 'maps'}


def test_headless_teacher_gives_no_logits(weights):
    teacher = OpenCLIPTeacher('tiny-vit', checkpoint=weights('tiny-vit'))
    images = torch.randn(1, 3, 32, 32)
    assert teacher.num_classes is None and teacher(images).logits is None
    with pytest.raises(UserError, match='gives no logits'):
        teacher(images, ['logits'])


@pytest.mark.parametrize('size', [48, (24, 40)])
@pytest.mark.parametrize('name', ['tiny-vit', 'tiny-coca'])
def test_other_input_sizes(name, size, weights, log_lines):
    reference = open_clip.create_model(name, force_image_size=size).eval()
    open_clip.load_checkpoint(reference, weights(name))
    teacher = OpenCLIPTeacher(name, checkpoint=weights(name), input_size=size)
    pair: Tuple[int, int] = (size, size) if isinstance(size, int) else size
    assert teacher.input_size == pair
    images = torch.randn(2, 3, *pair)
    wanted = tiny.encode_image(reference, images)
    assert torch.allclose(teacher(images).feature, wanted, atol=1e-5)
    assert any('interpolated from (4, 4) to' in line for line in log_lines)


def test_the_students_size_is_rounded_to_the_patch(weights, log_lines):
    teacher = OpenCLIPTeacher(
        'tiny-vit', checkpoint=weights('tiny-vit'), input_size=None
    )
    inputs = teacher.prepare(torch.rand(2, 3, 50, 36) * 255)
    assert inputs.shape[2:] == (48, 32)
    assert any('nearest multiple of its patch of 8' in x for x in log_lines)
    output = teacher(inputs, ['feature', 'tokens'])
    assert output.grid == (6, 4)
    reference = open_clip.create_model('tiny-vit', force_image_size=(48, 32))
    open_clip.load_checkpoint(reference, weights('tiny-vit'))
    wanted = tiny.encode_image(reference.eval(), inputs)
    assert torch.allclose(output.feature, wanted, atol=1e-5)


def test_convolutions_take_any_size(weights):
    teacher = OpenCLIPTeacher(
        'tiny-convnext', checkpoint=weights('tiny-convnext'), input_size=None
    )
    inputs = teacher.prepare(torch.rand(1, 3, 96, 65) * 255)
    assert inputs.shape[2:] == (96, 65)
    model = tiny.build('tiny-convnext')
    wanted = tiny.encode_image(model, inputs)
    assert torch.allclose(teacher(inputs).feature, wanted, atol=1e-5)


def test_a_size_with_a_remainder_is_taken_from_the_card(tmp_path):
    # Such as ViT-SO400M-14-SigLIP-384.
    config = tiny.CONFIGS['tiny-vit']
    vision = dict(config['vision_cfg'], image_size=38)
    path = tmp_path / 'tiny-odd.json'
    path.write_text(json.dumps(dict(config, vision_cfg=vision)))
    open_clip.add_model_config(path)
    teacher = OpenCLIPTeacher('tiny-odd')
    output = teacher(torch.randn(1, 3, 38, 38), ['feature', 'tokens'])
    assert teacher.input_size == (38, 38) and output.grid == (4, 4)
    for same in (38, (38, 38), [38, 38]):
        given = OpenCLIPTeacher('tiny-odd', input_size=same)
        assert given.input_size == (38, 38)
    with pytest.raises(UserError, match='multiples of 8'):
        OpenCLIPTeacher('tiny-odd', input_size=46)


def published(monkeypatch, *cards):
    cards = dict(enumerate(cards))
    monkeypatch.setattr(
        open_clip, 'list_pretrained_tags_by_model', lambda name: list(cards)
    )
    monkeypatch.setattr(
        open_clip, 'get_pretrained_cfg', lambda name, tag: cards[tag]
    )


HALVES = dict(mean=(0.5,) * 3, std=(0.25,) * 3, interpolation='bilinear')


def test_card_of_the_library():
    teacher = OpenCLIPTeacher('tiny-vit')
    mean, std = open_clip.OPENAI_DATASET_MEAN, open_clip.OPENAI_DATASET_STD
    assert teacher.mean == pytest.approx([255 * m for m in mean])
    assert teacher.std == pytest.approx([255 * s for s in std])
    assert teacher.preparation.interpolation == 'bicubic'
    assert teacher.input_size == (32, 32)


def test_card_that_all_published_weights_agree_on(monkeypatch):
    published(monkeypatch, HALVES, dict(HALVES, resize_mode='squash'))
    teacher = OpenCLIPTeacher('tiny-vit')
    assert teacher.mean == (127.5,) * 3 and teacher.std == (63.75,) * 3
    assert teacher.preparation.interpolation == 'bilinear'


def test_cards_that_differ_are_said(monkeypatch, log_lines):
    own = open_clip.get_model_preprocess_cfg(
        open_clip.create_model('tiny-vit').visual
    )
    published(monkeypatch, own, dict(own, mean=(0.1,) * 3))
    teacher = OpenCLIPTeacher('tiny-vit')
    assert teacher.mean[0] == pytest.approx(255 * 0.48145466)
    line = next(x for x in log_lines if 'published weights differ' in x)
    assert line.startswith('WARNING')
    # Of the two, that which differs is named.
    assert 'as these want: 1 (mean (0.1, 0.1, 0.1), std ' in line


def test_siglips_card():
    # No network is needed to see that its weights agree.
    from mmkd_custom.models.teachers.open_clip.models import read_card

    visual = nn.Module()
    visual.preprocess_cfg = dict(
        mean=(0.1,) * 3, std=(0.1,) * 3, interpolation='nearest'
    )
    card = read_card('ViT-B-16-SigLIP', visual, None)
    assert card['mean'] == card['std'] == (0.5, 0.5, 0.5)
    assert card['interpolation'] == 'bicubic'


def test_given_preprocessing_wins():
    teacher = OpenCLIPTeacher(
        'tiny-vit',
        mean=(1, 2, 3),
        std=(4, 5, 6),
        interpolation='nearest',
        input_size=16,
    )
    assert teacher.mean == (1, 2, 3) and teacher.std == (4, 5, 6)
    assert teacher.preparation.interpolation == 'nearest'
    assert teacher.input_size == (16, 16)


def test_random_weights_are_said(log_lines):
    teacher = OpenCLIPTeacher('tiny-vit')
    assert any(
        line.startswith('WARNING') and 'random' in line for line in log_lines
    )
    assert 'weights random' in teacher.describe()


def test_the_root_logger_is_left_alone(weights, monkeypatch, capfd):
    path, root = weights('tiny-vit'), logging.getLogger()
    # Without handlers, as outside of pytest, the first line adds one.
    monkeypatch.setattr(root, 'handlers', [])
    OpenCLIPTeacher('tiny-vit', checkpoint=path, class_names=NAMES)
    assert root.handlers == []
    assert 'initialized randomly' not in capfd.readouterr().err


@pytest.mark.parametrize('dtype', ['bfloat16', 'float16'])
@pytest.mark.parametrize('name', ['tiny-vit', 'tiny-sig'])
def test_half_precision(name, dtype, weights):
    options = dict(checkpoint=weights(name), class_names=NAMES)
    whole = OpenCLIPTeacher(name, **options)
    half = OpenCLIPTeacher(name, dtype=dtype, **options)
    images = torch.randn(4, 3, *whole.input_size)
    wanted = whole(images, whole.offers).named_tensors()
    found = half(images, half.offers).named_tensors()
    assert found.keys() == wanted.keys()
    for key, value in wanted.items():
        assert found[key].dtype == torch.float32
        assert 0 < relative(found[key], value) < 0.1, key


def test_max_batch(weights):
    teacher = OpenCLIPTeacher(
        'tiny-vit',
        checkpoint=weights('tiny-vit'),
        class_names=NAMES,
        max_batch=2,
    )
    images = torch.randn(5, 3, 32, 32)
    sizes = []
    hook = teacher.tower.visual.conv1.register_forward_hook(
        lambda module, inputs, output: sizes.append(len(output))
    )
    found = teacher(images, teacher.offers).named_tensors()
    hook.remove()
    assert sizes == [2, 2, 1]
    teacher.max_batch = None
    for key, value in teacher(images, teacher.offers).named_tensors().items():
        assert torch.allclose(found[key], value, atol=1e-5)


@pytest.mark.slow
def test_compiled(weights):
    options = dict(checkpoint=weights('tiny-vit'), class_names=NAMES)
    plain = OpenCLIPTeacher('tiny-vit', **options)
    compiled = OpenCLIPTeacher('tiny-vit', compile=True, **options)
    for _ in range(2):
        images = torch.randn(2, 3, *plain.input_size)
        wanted = plain(images, plain.offers).named_tensors()
        found = compiled(images, plain.offers).named_tensors()
        assert found.keys() == wanted.keys()
        for key, value in wanted.items():
            assert torch.allclose(found[key], value, atol=1e-4), key


def test_built_from_a_config(weights):
    config = Config(
        dict(
            type='OpenCLIPTeacher',
            model_name='tiny-vit',
            checkpoint=weights('tiny-vit'),
            class_names=NAMES,
            templates=TEMPLATES,
            input_size=(24, 24),
        )
    )
    teacher = MODELS.build(config)
    assert isinstance(teacher, OpenCLIPTeacher)
    assert teacher.num_classes == 3 and not teacher.training
    assert not any(p.requires_grad for p in teacher.parameters())


def test_pretrained_false_is_none():
    assert OpenCLIPTeacher('tiny-vit', pretrained=False).weights == 'random'


def test_library_spelling_with_a_slash():
    with pytest.raises(UserError, match="feature='x' is not one"):
        OpenCLIPTeacher('ViT-B/32', feature='x')


def test_image_tower_of_a_model_whose_text_is_on_a_hub():
    teacher = OpenCLIPTeacher('tiny-hub')
    assert teacher.feature_dim == 12


@pytest.mark.parametrize(
    'name, message',
    [
        ('tiny-hub', "text tower 'nobody/text' could not be had"),
        ('tiny-hub-tokens', "tokenizer 'nobody/tokens' could not be had"),
    ],
)
def test_text_that_is_on_a_hub(name, message, monkeypatch, tmp_path):
    from huggingface_hub import constants

    # Its variables are read once, when it is imported; a hub that is asked
    # is asked again for minutes where there is no network.
    monkeypatch.setattr(constants, 'HF_HUB_OFFLINE', True)
    monkeypatch.setattr(constants, 'HF_HUB_CACHE', str(tmp_path))
    # Older transformers keep a copy of their own.
    for module in ('transformers.utils.hub', 'transformers.utils'):
        if module in sys.modules:
            monkeypatch.setattr(
                sys.modules[module], '_is_offline_mode', True, raising=False
            )
    with pytest.raises(UserError, match=f'{message}.*class_names out'):
        OpenCLIPTeacher(name, class_names=NAMES)


@pytest.mark.parametrize(
    'name, options, message',
    [
        ('ViT-B-23', {}, "knows no model 'ViT-B-23'; nearest: .*'ViT-B-32'"),
        ('vitb32', {}, "knows no model 'vitb32'; "),
        (None, {}, 'knows no model None; '),
        ('hf-hub:a/b', {}, "model 'hf-hub:a/b' .*a place.*checkpoint=<path>"),
        ('tiny-newer', {}, "tower is 'vit_of_2030', which timm .*newer timm"),
        (
            'tiny-vit',
            dict(checkpoint='w.pth', pretrained='openai'),
            "checkpoint='w.pth' and pretrained='openai' both name weights",
        ),
        (
            'tiny-vit',
            dict(feature='pool'),
            "feature='pool' is not one of projected, pooled, cls, patches",
        ),
        (
            'tiny-resnet',
            dict(feature='cls'),
            "feature='cls', but its image tower has no class token",
        ),
        (
            'tiny-sig',
            dict(feature='cls'),
            "feature='cls', but its image tower has no class token",
        ),
        (
            'tiny-vit',
            dict(templates='diverse'),
            "templates='diverse' make a text head, but class_names is None",
        ),
        ('tiny-vit', dict(class_names=[]), 'class_names is empty'),
        ('tiny-vit', dict(class_names=['a', 1]), r'class_names\[1\] is 1'),
        (
            'tiny-vit',
            dict(class_names=['a'], templates=['photo']),
            "template 'photo' has no",
        ),
        ('tiny-vit', dict(input_size=33), 'multiples of 8'),
        ('tiny-vit', dict(input_size='big'), "input_size='big' must be"),
        ('tiny-resnet', dict(input_size=None), 'built for one input size'),
        ('tiny-eva', dict(input_size=None), 'built for one input size'),
        ('tiny-vit', dict(interpolation='box'), "interpolation='box'"),
        ('tiny-vit', dict(dtype='int8'), "dtype='int8'"),
        ('tiny-vit', dict(checkpoint='nowhere.pth'), 'there is no file'),
    ],
)
def test_mistakes(name, options, message):
    with pytest.raises(UserError, match=message):
        OpenCLIPTeacher(name, **options)
