"""Tests of class heads out of names and templates."""

from __future__ import annotations

import json

import open_clip
import pytest
import torch
import torch.nn as nn

from mmkd_custom.errors import UserError
from mmkd_custom.models.teachers.open_clip.zero_shot import (
    TEMPLATES_FILE,
    TEXTS_PER_BATCH,
    ZeroShotHead,
    check_class_names,
    load_templates,
    zero_shot_head,
)

TEMPLATES = ['a photo of a {}.', '{}, drawn', 'two {} and one {}']


class TextModel(nn.Module):
    """The sum of the embeddings of its tokens, by position."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(49408, 6)
        self.position = nn.Parameter(torch.randn(77, 1))
        self.logit_scale = nn.Parameter(torch.tensor(2.0))

    def encode_text(self, tokens, normalize=False):
        found = (self.embedding(tokens) * self.position).sum(1)
        return found / found.norm(dim=1, keepdim=True) if normalize else found


@pytest.fixture
def model() -> TextModel:
    torch.manual_seed(0)
    return TextModel()


def embed(model, tokenizer, name, templates):
    """The definition, text by text, in float64."""
    total = torch.zeros(6, dtype=torch.float64)
    for template in templates:
        text = name.join(template.split('{}'))
        with torch.no_grad():
            found = model.encode_text(tokenizer([text]))[0].double()
        total += found / found.norm()
    return total / total.norm()


def test_class_embeddings_are_the_definition(model):
    tokenizer = open_clip.SimpleTokenizer()
    # More than go through the text tower at once.
    names = [f'thing {i}' for i in range(TEXTS_PER_BATCH // 3 + 5)]
    found = zero_shot_head(model, tokenizer, names, TEMPLATES).weight
    assert found.shape == (6, len(names)) and not found.requires_grad
    for index in (0, 1, TEXTS_PER_BATCH // 3, len(names) - 1):
        wanted = embed(model, tokenizer, names[index], TEMPLATES)
        assert torch.allclose(found[:, index].double(), wanted, atol=1e-6)


def test_braces_in_names_and_templates_stay(model):
    seen = []

    def tokenizer(texts):
        seen.extend(texts)
        return open_clip.tokenize(texts)

    zero_shot_head(model, tokenizer, ['{x}'], ['a {} {0}'])
    assert seen == ['a {x} {0}']


def test_logits_are_the_definition():
    generator = torch.Generator().manual_seed(0)
    weight, images = (
        torch.randn(*shape, generator=generator) for shape in ((5, 3), (4, 5))
    )
    head = ZeroShotHead(weight, torch.tensor([20.0]), torch.tensor(-3.0))
    for n in range(4):
        for c in range(3):
            cosine = (images[n] / images[n].norm()) @ weight[:, c]
            wanted = 20 * cosine.double() - 3
            assert abs(head(images)[n, c].double() - wanted) < 1e-5
    without = ZeroShotHead(weight, torch.tensor(20.0))
    assert torch.allclose(without(images) - 3, head(images))


def test_logits_are_float32_whatever_comes_in():
    head = ZeroShotHead(torch.eye(4), torch.tensor(100.0)).bfloat16()
    images = torch.tensor([[3.0, 4.0, 0.0, 0.0]])
    logits = head(images.bfloat16())
    assert logits.dtype == torch.float32
    assert torch.allclose(logits, torch.tensor([[60.0, 80, 0, 0]]))


def test_sets_of_templates():
    sets = json.loads(TEMPLATES_FILE.read_text(encoding='utf-8'))
    assert set(sets) == {'general', 'diverse'}
    for name, templates in sets.items():
        assert load_templates(name) == templates
        assert len(set(templates)) == len(templates)
        assert all(t.count('{}') == 1 for t in templates)
    assert len(sets['general']) == 8 and len(sets['diverse']) == 80


def test_templates_of_a_file(tmp_path):
    path = tmp_path / 'templates.txt'
    path.write_text('a {}.\n\n  the {} – here \n', encoding='utf-8')
    assert load_templates(str(path)) == ['a {}.', 'the {} – here']


def test_templates_of_a_list():
    assert load_templates(('a {}',)) == ['a {}']
    published = [t('{}') for t in open_clip.OPENAI_IMAGENET_TEMPLATES]
    assert len(load_templates(published)) == 80


@pytest.mark.parametrize(
    'templates, got',
    [
        ('generel', "nearest: 'general'"),
        ([], '[]'),
        (7, '7'),
        (['a {}', 'a photo'], "'a photo'"),
        ([None], 'None'),
        (b'\n', '.txt'),
        (b'a {}\na photo\n', "'a photo'"),
        (b'a {} \xff', '.txt'),
    ],
)
def test_wrong_templates(templates, got, tmp_path):
    if isinstance(templates, bytes):
        path = tmp_path / 'templates.txt'
        path.write_bytes(templates)
        templates = str(path)
    with pytest.raises(UserError) as error:
        load_templates(templates)
    assert 'templates' in str(error.value) and got in str(error.value)


@pytest.mark.parametrize(
    'names, got',
    [
        ([], 'class_names'),
        ('cat', "'cat'"),
        (3, '3'),
        (['cat', 5], 'class_names[1]'),
        (['cat', ' '], 'class_names[1]'),
    ],
)
def test_class_names(names, got):
    assert check_class_names(('cat', 'a dog')) == ['cat', 'a dog']
    with pytest.raises(UserError) as error:
        check_class_names(names)
    assert 'class_names' in str(error.value) and got in str(error.value)
