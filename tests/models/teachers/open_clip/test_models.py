"""Tests of what open_clip's models are built from: names, cards, texts."""

from __future__ import annotations

import logging
import sys

import open_clip
import pytest
import torch

from mmkd_custom.errors import UserError
from mmkd_custom.models.teachers.open_clip.teacher import OpenCLIPTeacher
from tests.models.teachers.open_clip import open_clip_models as tiny

NAMES = ['cat', 'alarm clock']


@pytest.fixture(scope='module', autouse=True)
def models(tmp_path_factory):
    tiny.register(tmp_path_factory.mktemp('configs'))


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
    assert '1 (mean (0.1, 0.1, 0.1), std ' in line and '0 (' not in line


def test_given_preprocessing_wins():
    given = dict(mean=(1, 2, 3), std=(4, 5, 6))
    teacher = OpenCLIPTeacher('tiny-vit', interpolation='nearest', **given)
    assert (teacher.mean, teacher.std) == (given['mean'], given['std'])
    assert teacher.preparation.interpolation == 'nearest'


def test_the_root_logger_is_left_alone(tmp_path, monkeypatch, capfd):
    path, root = str(tmp_path / 'w.pth'), logging.getLogger()
    torch.save(tiny.build('tiny-vit').state_dict(), path)
    capfd.readouterr()
    # Without handlers, as outside of pytest, the first line adds one.
    monkeypatch.setattr(root, 'handlers', [])
    OpenCLIPTeacher('tiny-vit', checkpoint=path, class_names=NAMES)
    assert root.handlers == []
    assert 'initialized randomly' not in capfd.readouterr().err


def test_image_tower_of_a_model_whose_text_is_on_a_hub():
    teacher = OpenCLIPTeacher('tiny-hub')
    assert teacher.feature_dim == 12


@pytest.mark.parametrize(
    'name, named',
    [('tiny-hub', 'nobody/text'), ('tiny-hub-tokens', 'nobody/tokens')],
)
def test_text_that_is_on_a_hub(name, named, monkeypatch, tmp_path):
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
    with pytest.raises(UserError) as error:
        OpenCLIPTeacher(name, class_names=NAMES)
    assert 'class_names' in str(error.value) and named in str(error.value)


@pytest.mark.parametrize(
    'name, options, named',
    [
        ('ViT-B-23', {}, "'ViT-B-32'"),
        ('vitb32', {}, "'vitb32'"),
        (None, {}, 'None'),
        ('hf-hub:a/b', {}, 'checkpoint='),
        # A slash is OpenAI's spelling of a hyphen.
        ('ViT-B/32', dict(feature='x'), 'feature'),
        ('tiny-newer', {}, 'vit_of_2030'),
        (
            'tiny-vit',
            dict(checkpoint='w.pth', pretrained='openai'),
            'pretrained',
        ),
        ('tiny-resnet', dict(feature='cls'), 'feature'),
        ('tiny-sig', dict(feature='cls'), 'feature'),
        ('tiny-vit', dict(templates='diverse'), 'class_names'),
        ('tiny-vit', dict(class_names=[]), 'class_names'),
        (
            'tiny-vit',
            dict(class_names=['a'], templates=['photo']),
            'templates',
        ),
        ('tiny-vit', dict(input_size=33), 'input_size'),
        ('tiny-vit', dict(input_size='big'), 'input_size'),
        ('tiny-resnet', dict(input_size=None), 'input_size'),
        ('tiny-eva', dict(input_size=None), 'input_size'),
        ('tiny-vit', dict(dtype='int8'), 'dtype'),
        ('tiny-vit', dict(checkpoint='nowhere.pth'), 'nowhere.pth'),
    ],
)
def test_mistakes(name, options, named):
    with pytest.raises(UserError) as error:
        OpenCLIPTeacher(name, **options)
    assert named in str(error.value)
