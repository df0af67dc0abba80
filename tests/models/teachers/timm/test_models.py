"""Tests of finding and building timm's networks."""

from __future__ import annotations

import pytest
import timm
import torch
from timm.models import get_pretrained_cfg

from mmkd_custom.errors import UserError
from mmkd_custom.models.teachers.timm.models import (
    build,
    check_activation,
    check_tower,
    has_fixed_size,
    has_projection,
    is_tower,
    patch_multiple,
    pretrained_file,
)

OPENAI = 'vit_base_patch16_clip_224.openai'

#: Widths of the heads in timm's cards that are no class set anybody knows.
EMBEDDINGS = {384, 512, 640, 768, 1024, 1152, 1280}


def card(name: str, **changes) -> dict:
    return dict(get_pretrained_cfg(name).to_dict(), **changes)


def test_projections_are_told_from_classifiers_for_every_card():
    cards = {name: card(name) for name in timm.list_pretrained()}
    found = {name for name in cards if has_projection(cards[name])}
    assert found == {
        name for name in cards if cards[name]['num_classes'] in EMBEDDINGS
    }
    assert len(found) > 70


@pytest.mark.parametrize(
    'name, wanted',
    [
        (OPENAI, True),
        ('vit_base_patch16_clip_224.openai_ft_in1k', False),
        ('vit_base_patch16_clip_224.laion2b_ft_in12k', False),
        ('vit_base_patch16_clip_224', False),
        ('eva02_base_patch16_clip_224.merged2b', True),
        ('convnext_large_mlp.clip_laion2b_ft_320', True),
        ('convnext_base.clip_laion2b_augreg_ft_in1k', False),
        ('resnet50_clip.openai', True),
        ('resnet50_clip_gap.openai', False),
        ('vit_base_patch16_siglip_224.webli', False),
        ('vit_small_patch14_dinov2.lvd142m', False),
        ('resnet18.a1_in1k', False),
    ],
)
def test_projections(name, wanted):
    assert has_projection(card(name)) is wanted


@pytest.mark.parametrize(
    'card, wanted',
    [
        (
            dict(hf_hub_id='a/b', url='u'),
            'model.safetensors of https://huggingface.co/a/b',
        ),
        (
            dict(hf_hub_id='a/b', hf_hub_filename='c.bin'),
            'c.bin of https://huggingface.co/a/b',
        ),
        (dict(hf_hub_id='a/b', file='/c.pth'), '/c.pth'),
        (dict(url='https://u/w.pth'), 'https://u/w.pth'),
    ],
)
def test_file_that_timm_takes(card, wanted):
    assert pretrained_file(card) == wanted


def test_tower_that_somebody_trained_further_on_classes():
    assert not has_projection(card(OPENAI, tag='pets', num_classes=37))


def test_clip_weights_for_a_classifier_name_those_with_a_projection():
    model = build('vit_base_patch16_clip_224', False, None, dict(depth=1))
    with pytest.raises(UserError, match='ends in a classifier') as error:
        check_tower(model, 'w.pt')
    assert OPENAI in str(error.value) and '_ft_in1k,' not in str(error.value)
    check_tower(build(OPENAI, False, None, dict(depth=1)), 'w.pt')


@pytest.mark.parametrize(
    'name, twin',
    [
        (OPENAI, 'vit_base_patch16_clip_quickgelu_224.openai'),
        ('vit_base_patch16_clip_quickgelu_224.openai', None),
        ('vit_base_patch16_clip_224.laion2b', None),
        ('vit_base_patch16_clip_224.openai_ft_in1k', None),
        ('resnet18.a1_in1k', None),
    ],
)
def test_weights_that_were_trained_with_another_gelu(name, twin, log_lines):
    check_activation(card(name))
    assert [twin in x for x in log_lines] == ([] if twin is None else [True])


@pytest.mark.parametrize('name', [OPENAI, 'vit_base_patch16_clip_224.laion2b'])
def test_openais_layout_tells_the_gelu_whatever_the_name(name, log_lines):
    check_activation(card(name), openai=True)
    assert 'vit_base_patch16_clip_quickgelu_224.openai' in log_lines[0]
    check_activation(card('resnet50_clip.openai'), openai=True)
    assert len(log_lines) == 1


@pytest.mark.parametrize(
    'name, width, wanted',
    [
        ('vit_base_patch16_clip_224', 512, True),
        ('vit_base_patch16_clip_224', 1000, False),
        ('vit_base_patch16_clip_224', 37, False),
        (OPENAI, 512, False),
        ('vit_small_patch14_dinov2', 512, False),
        ('vit_base_patch16_clip_224', None, False),
    ],
)
def test_projection_in_timms_layout(name, width, wanted):
    model = build(name, False, 'card', dict(depth=1))
    head = None if width is None else torch.ones(width, 3)
    assert is_tower(model, head) is wanted


@pytest.mark.parametrize(
    'name, options, fixed, multiple',
    [
        ('vit_small_patch14_dinov2', dict(depth=1), False, 14),
        ('vit_tiny_r_s16_p8_224', dict(depth=1), False, 32),
        ('beit_base_patch16_224', dict(depth=1), True, 16),
        ('convnext_atto', {}, False, 1),
        # Patches of 7 pixels, but 4 apart.
        ('pvt_v2_b0', {}, False, 1),
        # Patches without a module called patch_embed.
        ('mixer_s32_224', {}, True, 32),
        ('naflexvit_base_patch16_gap', dict(depth=1), False, 16),
    ],
)
def test_input_sizes(name, options, fixed, multiple):
    if not timm.is_model(name):
        pytest.skip('older timm')
    model = build(name, False, 'card', options)
    assert has_fixed_size(model) is fixed
    assert patch_multiple(model) == multiple
