"""Tiny models of every family of open_clip, with random weights."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Dict

import open_clip
import torch
import torch.nn as nn

TEXT = dict(context_length=77, vocab_size=49408, width=16, heads=2, layers=1)
VIT = dict(image_size=32, layers=5, width=32, head_width=16, patch_size=8)
COCA_TEXT = dict(TEXT, context_length=76, embed_cls=True, output_tokens=True)


def _trunk(name: str, **options: Any) -> Dict[str, Any]:
    return dict(image_size=160, timm_model_name=name, **options)


CONFIGS = {
    'tiny-vit': dict(embed_dim=12, vision_cfg=VIT, text_cfg=TEXT),
    'tiny-vit-quickgelu': dict(
        embed_dim=12, vision_cfg=VIT, text_cfg=TEXT, quick_gelu=True
    ),
    'tiny-wide': dict(
        embed_dim=12, vision_cfg=dict(VIT, width=48), text_cfg=TEXT
    ),
    'tiny-clipa': dict(
        embed_dim=12,
        vision_cfg=dict(
            VIT, no_ln_pre=True, pool_type='avg', final_ln_after_pool=True
        ),
        text_cfg=TEXT,
    ),
    'tiny-scale': dict(
        embed_dim=12,
        vision_cfg=dict(VIT, ls_init_value=0.1, layers=2),
        text_cfg=TEXT,
        custom_text=True,
    ),
    'tiny-coca': dict(
        embed_dim=12,
        vision_cfg=dict(
            VIT,
            attentional_pool=True,
            attn_pooler_queries=5,
            attn_pooler_heads=2,
            output_tokens=True,
        ),
        text_cfg=COCA_TEXT,
        multimodal_cfg=dict(TEXT, context_length=76, dim_head=8),
        custom_text=True,
    ),
    'tiny-resnet': dict(
        embed_dim=12,
        vision_cfg=dict(
            image_size=64, layers=[1, 1, 1, 1], width=8, head_width=4
        ),
        text_cfg=TEXT,
    ),
    # SigLIP: an attention pooling, no class token, nothing after it, a bias.
    'tiny-sig': dict(
        embed_dim=64,
        vision_cfg=_trunk('test_vit2', timm_pool='map', timm_proj='none'),
        text_cfg=TEXT,
        init_logit_bias=-10,
        custom_text=True,
    ),
    # EVA02: the trunk's own classifier is the projection.
    'tiny-eva': dict(
        embed_dim=12,
        vision_cfg=_trunk('test_vit', timm_pool='token', timm_proj=None),
        text_cfg=TEXT,
        custom_text=True,
    ),
    'tiny-convnext': dict(
        embed_dim=12,
        vision_cfg=_trunk('test_convnext', timm_pool='', timm_proj='mlp'),
        text_cfg=TEXT,
    ),
    # An attention pooling of open_clip's own after a timm trunk.
    'tiny-attn': dict(
        embed_dim=64,
        vision_cfg=_trunk(
            'test_efficientnet', timm_pool='rot_attn', timm_proj='none'
        ),
        text_cfg=TEXT,
    ),
    # A text tower and a tokenizer that are on a hub.
    'tiny-hub': dict(
        embed_dim=12,
        vision_cfg=VIT,
        text_cfg=dict(hf_model_name='nobody/text', context_length=77),
    ),
    'tiny-hub-tokens': dict(
        embed_dim=12,
        vision_cfg=VIT,
        text_cfg=dict(TEXT, hf_tokenizer_name='nobody/tokens'),
    ),
}

#: Those whose text tower needs nothing.
FAMILIES = [name for name in CONFIGS if 'hub' not in name]

CONFIGS['tiny-newer'] = dict(
    embed_dim=12, vision_cfg=_trunk('vit_of_2030'), text_cfg=TEXT
)


def register(folder: Path) -> None:
    """Makes the tiny models known to open_clip."""
    for name, config in CONFIGS.items():
        (folder / f'{name}.json').write_text(json.dumps(config))
    open_clip.add_model_config(folder)


def build(name: str, **options: Any) -> nn.Module:
    """The library's own model; no two of its tensors of one shape are equal.

    Much of what it starts from is 0 or 1, which would hide mistakes.
    """
    torch.manual_seed(0)
    model = open_clip.create_model(name, **options).eval()
    with torch.no_grad():
        for key, tensor in model.named_parameters():
            if 'logit' not in key:
                tensor.add_(0.05 * torch.randn_like(tensor))
        for key, tensor in model.named_buffers():
            if key.endswith('running_var'):
                tensor.add_(0.2 * torch.rand_like(tensor))
            elif key.endswith('running_mean'):
                tensor.add_(0.2 * torch.randn_like(tensor))
    return model


def encode_image(model: nn.Module, images: torch.Tensor) -> torch.Tensor:
    """The library's image embeddings, not normalised."""
    with torch.no_grad():
        return model.encode_image(images, normalize=False)
