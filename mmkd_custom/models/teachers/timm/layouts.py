"""Weights of other libraries' key layouts under timm's names."""

from __future__ import annotations

import re
import sys
from typing import Dict, Tuple

import torch
import torch.nn as nn

from ....errors import UserError
from ..layouts import (
    CHUNKED,
    CLIP_LAYOUTS,
    DINO_BACKBONE,
    DINOV2,
    EFFICIENTNET_LITE,
    MMPRETRAIN,
    OPEN_CLIP,
    TIMM,
    TRUNK,
    StateDict,
    log,
    recognise,
)

#: Heads that DINOv2 is trained with and that are of no use afterwards.
_DINO_HEADS = ('dino_head.', 'ibot_head.')

_PATCH_EMBEDDINGS = (
    'patch_embed.proj.weight',
    'patch_embed.projection.weight',
    'visual.conv1.weight',
)

#: MMPretrain's VisionTransformer, in order; timm's names on the right.
_MMPRETRAIN_VIT = tuple(
    (re.compile(pattern), name)
    for pattern, name in (
        (r'^patch_embed\.projection\.', 'patch_embed.proj.'),
        (r'^pre_norm\.', 'norm_pre.'),
        (r'^ln1\.', 'norm.'),
        (r'^ln2\.', 'fc_norm.'),
        (r'^layers\.(\d+)\.', r'blocks.\1.'),
        (r'\.ln([12])\.', r'.norm\1.'),
        (r'\.attn\.gamma1\.weight$', '.ls1.gamma'),
        (r'\.ffn\.gamma2\.weight$', '.ls2.gamma'),
        (r'\.ffn\.layers\.0\.0\.', '.mlp.fc1.'),
        (r'\.ffn\.layers\.1\.', '.mlp.fc2.'),
        (r'\.ffn\.w12\.', '.mlp.fc1.'),
        (r'\.ffn\.w3\.', '.mlp.fc2.'),
    )
)


def to_timm(state_dict: StateDict, model: nn.Module, source: str) -> StateDict:
    """Renames weights of a known layout to those of a timm network.

    Position embeddings of another grid are resampled, as timm does. Which
    layout was recognised is said in the log.

    Args:
        state_dict (dict[str, Tensor]): Weights in any layout.
        model (nn.Module): The network they are for, built by timm.
        source (str): What the log and errors call the weights.

    Returns:
        dict[str, Tensor]: In timm's layout where the layout was recognised or
        timm itself converts it, otherwise as they came. Whether they fit is
        for :func:`~mmkd_custom.models.teachers.load_strict` to say.

    Raises:
        UserError: If the patches are of another size, or the network has no
            counterpart in the layout.
    """
    own = model.state_dict()
    _check_patches(state_dict, own, source)
    layout = recognise(state_dict)
    if layout is None and _shapes(state_dict) == _shapes(own):
        log(f'{source}: recognised the layout of {TIMM}.')
        return state_dict
    if layout is not None:
        rest = '; its image tower is taken' if layout in CLIP_LAYOUTS else ''
        log(f'{source}: recognised the layout of {layout}{rest}.')
    if layout == EFFICIENTNET_LITE:
        return _from_efficientnet_lite(state_dict, model, source)
    if layout == DINOV2:
        state_dict = _from_dinov2(state_dict)
    elif layout == MMPRETRAIN:
        state_dict = _from_mmpretrain(state_dict, model, source)
    elif layout == OPEN_CLIP:
        state_dict = _from_open_clip(state_dict, model)
    converted = _convert_as_timm(state_dict, model, source)
    if layout is None and converted.keys() == own.keys() != state_dict.keys():
        log(f'{source}: converted by timm from another layout.')
    return converted


def classifier_names(model: nn.Module) -> Tuple[str, ...]:
    """Names the modules that are the classifier of a timm network.

    Args:
        model (nn.Module): Built by timm, with or without its classifier.

    Returns:
        tuple[str]: Module paths, such as ``('head.fc',)``.
    """
    names = model.pretrained_cfg.get('classifier') or ()
    return (names,) if isinstance(names, str) else tuple(names)


def _from_dinov2(state_dict: StateDict) -> StateDict:
    renamed = {}
    for key, value in state_dict.items():
        if key.startswith(_DINO_HEADS) or key.endswith('mask_token'):
            continue
        if key.startswith(DINO_BACKBONE):
            key = key[len(DINO_BACKBONE) :]
        key = CHUNKED.sub(r'blocks.\1', key)
        key = key.replace('.mlp.w12.', '.mlp.fc1.')
        renamed[key.replace('.mlp.w3.', '.mlp.fc2.')] = value
    if 'register_tokens' in renamed:
        # timm's networks with registers add position embeddings to patches
        # alone, so that of the class token becomes a part of the token.
        positions = renamed['pos_embed']
        renamed['reg_token'] = renamed.pop('register_tokens')
        renamed['cls_token'] = renamed['cls_token'] + positions[:, :1]
        renamed['pos_embed'] = positions[:, 1:]
    return renamed


def _from_open_clip(state_dict: StateDict, model: nn.Module) -> StateDict:
    """Takes out a tower that is itself a timm network; others timm converts.

    A network without classifier has a projection of open_clip's behind it,
    which becomes the classifier that a timm tower of CLIP has. One that is an
    MLP timm knows best.
    """
    trunk = any(key.startswith(TRUNK) for key in state_dict)
    if not trunk or 'visual.head.mlp.fc1.weight' in state_dict:
        return state_dict
    head = _classifier(model)
    renamed = {}
    for key, value in state_dict.items():
        if key == 'visual.head.proj.weight':
            renamed[f'{head}.weight'] = value
            renamed.setdefault(f'{head}.bias', torch.zeros(len(value)))
        elif key == 'visual.head.proj.bias':
            renamed[f'{head}.bias'] = value
        elif key.startswith(TRUNK):
            renamed[key[len(TRUNK) :]] = value
        elif key.startswith('visual.'):
            # A head of another kind, which the strict loading reports.
            renamed[key] = value
    return renamed


def _from_mmpretrain(
    state_dict: StateDict, model: nn.Module, source: str
) -> StateDict:
    own = model.state_dict()
    vit = 'backbone.layers.0.ln1.weight' in state_dict
    head = _classifier(model) + '.'
    renamed = {}
    for key, value in state_dict.items():
        part, _, rest = key.partition('.')
        if part == 'head':
            # ClsHead calls it fc, VisionTransformerClsHead layers.head.
            rest = re.sub(r'^(fc|layers\.head)\.', head, rest)
        elif vit:
            for pattern, name in _MMPRETRAIN_VIT:
                rest = pattern.sub(name, rest)
        renamed[rest] = value
    lacking = [
        key for key in own if key not in renamed and not key.startswith(head)
    ]
    if lacking and not vit:
        raise UserError(
            f'checkpoint {source}: is in the layout of {MMPRETRAIN}, from '
            f'which {type(model).__name__} of timm cannot be filled; give its '
            'config to MMPretrainTeacher.'
        )
    return renamed


def _from_efficientnet_lite(
    state_dict: StateDict, model: nn.Module, source: str
) -> StateDict:
    """Renames key by key, in order: both list the same layers alike."""
    tensors = [
        (key, value)
        for key, value in state_dict.items()
        if model.num_classes or not key.startswith('_fc.')
    ]
    wanted = list(model.state_dict().items())
    fits = len(tensors) == len(wanted) and all(
        theirs[1].shape == ours[1].shape
        and theirs[0].rpartition('.')[2] == ours[0].rpartition('.')[2]
        for theirs, ours in zip(tensors, wanted)
    )
    if not fits:
        raise UserError(
            f'checkpoint {source}: its {len(tensors)} tensors in the layout '
            f'of {EFFICIENTNET_LITE} do not match the {len(wanted)} of '
            f'{type(model).__name__} one to one; name the efficientnet_lite* '
            'model they belong to.'
        )
    return {ours: value for (ours, _), (_, value) in zip(wanted, tensors)}


def _convert_as_timm(
    state_dict: StateDict, model: nn.Module, source: str
) -> StateDict:
    convert = getattr(
        sys.modules[type(model).__module__], 'checkpoint_filter_fn', None
    )
    if convert is None:
        return state_dict
    try:
        # Some of these functions take keys out of what they are given.
        return convert(dict(state_dict), model)
    except Exception as error:
        # Weights of some other network can break it anywhere; the strict
        # loading then says what does not match.
        log(f'{source}: timm could not convert its layout ({error}).')
        return state_dict


def _check_patches(state_dict: StateDict, own: StateDict, source: str) -> None:
    # timm would resample them to the network's patches without a word, and
    # the network would no longer be the one that was trained.
    wanted = own.get('patch_embed.proj.weight')
    came = next(
        (v for k, v in state_dict.items() if k.endswith(_PATCH_EMBEDDINGS)),
        None,
    )
    if came is None or wanted is None or not came.ndim == wanted.ndim == 4:
        return
    if came.shape[2:] != wanted.shape[2:]:
        raise UserError(
            f'checkpoint {source}: embeds patches of '
            f'{tuple(came.shape[2:])} pixels, but the network was built for '
            f'{tuple(wanted.shape[2:])}.'
        )


def _classifier(model: nn.Module) -> str:
    return (classifier_names(model) or ('head',))[0]


def _shapes(state_dict: StateDict) -> Dict[str, torch.Size]:
    return {key: value.shape for key, value in state_dict.items()}
