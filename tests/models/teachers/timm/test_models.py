"""What timm's names and cards say of its networks."""

from __future__ import annotations

import pytest
import timm
from timm.models import get_pretrained_cfg

from mmkd_custom.models.teachers.timm.models import (
    build,
    check_activation,
    has_fixed_size,
    has_projection,
    patch_multiple,
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
    assert OPENAI in found and f'{OPENAI}_ft_in1k' not in found
    # Trained further on somebody's own classes.
    assert not has_projection(card(OPENAI, tag='pets', num_classes=37))


@pytest.mark.parametrize(
    'name, openai, told',
    [
        (OPENAI, False, True),
        ('vit_base_patch16_clip_quickgelu_224.openai', False, False),
        ('vit_base_patch16_clip_224.laion2b', False, False),
        ('vit_base_patch16_clip_224.laion2b', True, True),
        ('resnet50_clip.openai', True, False),
    ],
)
def test_weights_that_were_trained_with_another_gelu(
    name, openai, told, log_lines
):
    check_activation(card(name), openai)
    twin = 'vit_base_patch16_clip_quickgelu_224.openai'
    assert [twin in line for line in log_lines] == [True] * told


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
