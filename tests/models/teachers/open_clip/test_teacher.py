"""Tests of OpenCLIPTeacher."""

from __future__ import annotations

import json

import numpy as np
import open_clip
import pytest
import torch
import torch.nn as nn
import torch.nn.functional as F
from PIL import Image
from torchvision.transforms import Compose

from mmkd_custom.errors import UserError
from mmkd_custom.models.teachers.open_clip.teacher import OpenCLIPTeacher
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
    assert teacher.num_classes == 3 and teacher.classes == tuple(NAMES)
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
    assert len(teacher(images, ['maps']).maps) == 4
    assert asked == ['tokens']
    assert set(teacher.offers) == {'feature', 'logits', 'tokens', 'maps'}
    headless = OpenCLIPTeacher('tiny-vit', checkpoint=weights('tiny-vit'))
    assert headless.num_classes is None and headless.classes is None
    assert 'logits' not in headless.offers


@pytest.mark.parametrize(
    'given, size', [(48, (48, 48)), ((24, 40), (24, 40)), (None, (48, 32))]
)
@pytest.mark.parametrize('name', ['tiny-vit', 'tiny-coca'])
def test_other_input_sizes(name, given, size, weights, log_lines):
    reference = open_clip.create_model(name, force_image_size=size).eval()
    open_clip.load_checkpoint(reference, weights(name))
    teacher = OpenCLIPTeacher(name, checkpoint=weights(name), input_size=given)
    # None is the student's size, rounded to the patch.
    images = teacher.prepare(torch.rand(2, 3, 50, 36) * 255)
    assert images.shape[2:] == size
    wanted = tiny.encode_image(reference, images)
    output = teacher(images, ['feature', 'tokens'])
    assert torch.allclose(output.feature, wanted, atol=1e-5)
    assert output.grid == (size[0] // 8, size[1] // 8)
    told = any('interpolated from (4, 4) to' in line for line in log_lines)
    assert told == (given is not None)


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
    with pytest.raises(UserError) as error:
        OpenCLIPTeacher('tiny-odd', input_size=46)
    assert 'input_size' in str(error.value)


@pytest.mark.parametrize('dtype', ['bfloat16', 'float16'])
@pytest.mark.parametrize('name', ['tiny-vit', 'tiny-sig'])
def test_half_precision(name, dtype, weights):
    options = dict(checkpoint=weights(name), class_names=NAMES)
    whole = OpenCLIPTeacher(name, **options)
    half = OpenCLIPTeacher(name, dtype=dtype, max_batch=3, **options)
    images = torch.randn(4, 3, *whole.input_size)
    wanted = whole(images, whole.offers).named_tensors()
    found = half(images, half.offers).named_tensors()
    assert found.keys() == wanted.keys()
    for key, value in wanted.items():
        assert found[key].dtype == torch.float32
        assert 0 < relative(found[key], value) < 0.1, key


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
