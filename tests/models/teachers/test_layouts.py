"""Layouts are recognised by the names of their tensors."""

from __future__ import annotations

from typing import Iterable

import pytest
import timm
import torch

from mmkd_custom.models.teachers.layouts import recognise

VIT = ['cls_token', 'patch_embed.proj.weight']


def named(*groups: Iterable[str], **tensors: torch.Tensor) -> dict:
    """Tensors of one element under these names, and those given."""
    state = {key: torch.ones(1) for keys in groups for key in keys}
    return {**state, **tensors}


@pytest.mark.parametrize(
    'state, words',
    [
        (named(VIT, mask_token=torch.ones(1, 8)), 'DINOv2'),
        (named(VIT, ['register_tokens']), 'DINOv2'),
        (named(VIT, ['blocks.0.0.norm1.weight']), 'DINOv2'),
        (named(['backbone.patch_embed.proj.weight']), 'DINOv2'),
        (named(VIT, ['storage_tokens', 'mask_token']), 'DINOv3'),
        (
            named(['input_resolution', 'context_length', 'vocab_size']),
            "OpenAI's CLIP",
        ),
        (named(['visual.class_embedding', 'text_projection']), 'open_clip'),
        (named(['visual.attnpool.c_proj.bias', 'logit_scale']), 'open_clip'),
        (named(['visual.trunk.stem.0.weight', 'text.x']), 'open_clip'),
        (named(['backbone.conv1.weight', 'head.fc.weight']), 'MMPretrain'),
        (
            named(
                ['_conv_stem.weight', '_blocks.0._depthwise_conv.weight'],
            ),
            'EfficientNet-Lite',
        ),
    ],
)
def test_layouts(state, words):
    assert words in recognise(state)


@pytest.mark.parametrize(
    'state',
    [
        # Another family's mask token, (1, 1, D).
        named(VIT, mask_token=torch.ones(1, 1, 8)),
        # EfficientNets group their blocks as well.
        named(['blocks.0.0.conv_dw.weight', 'conv_stem.weight']),
        # A full EfficientNet.
        named(
            ['_conv_stem.weight', '_blocks.0._depthwise_conv.weight'],
            ['_blocks.0._se_reduce.weight'],
        ),
        # A detector's checkpoint.
        named(['backbone.conv1.weight', 'bbox_head.fc.weight']),
    ],
)
def test_others(state):
    assert recognise(state) is None


@pytest.mark.parametrize('name', ['test_vit', 'convnext_atto', 'resnet10t'])
def test_networks_of_timm_are_no_foreign_layout(name):
    assert recognise(timm.create_model(name).state_dict()) is None
