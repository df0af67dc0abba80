"""Weights of other libraries' key layouts under timm's names."""

from __future__ import annotations

import sys
from typing import Tuple

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

_PATCH_EMBEDDINGS = ('patch_embed.proj.weight', 'visual.conv1.weight')


def to_timm(state_dict: StateDict, model: nn.Module, source: str) -> StateDict:
    """Renames weights of a known layout to those of a timm network.

    Position embeddings of another grid are resampled, as timm does. Which
    layout was recognised is said in the log.

    Returns:
        dict[str, Tensor]: In timm's layout where the layout was recognised or
        timm itself converts it, otherwise as they came. Whether they fit is
        for :func:`~mmkd_custom.models.teachers.load_strict` to say.

    Raises:
        UserError: If the patches are of another size, or timm has no
            counterpart of the layout.
    """
    own = model.state_dict()
    _check_patches(state_dict, own, source)
    layout = recognise(state_dict)
    shapes, wanted = (
        {k: v.shape for k, v in s.items()} for s in (state_dict, own)
    )
    if layout is None and shapes == wanted:
        log(f'{source}: recognised the layout of {TIMM}.')
        return state_dict
    if layout is not None:
        rest = '; its image tower is taken' if layout in CLIP_LAYOUTS else ''
        log(f'{source}: recognised the layout of {layout}{rest}.')
    if layout == MMPRETRAIN:
        raise UserError(
            f'checkpoint {source}: expected weights for {type(model).__name__}'
            f' of timm, got the layout of {MMPRETRAIN}; give its config to '
            'MMPretrainTeacher.'
        )
    if layout == EFFICIENTNET_LITE:
        return _from_efficientnet_lite(state_dict, model, source)
    if layout == DINOV2:
        state_dict = _from_dinov2(state_dict)
    elif layout == OPEN_CLIP:
        state_dict = _from_open_clip(state_dict, model)
    converted = _convert_as_timm(state_dict, model, source)
    if layout is None and converted.keys() == own.keys() != state_dict.keys():
        log(f'{source}: converted by timm from another layout.')
    return converted


def classifier_names(model: nn.Module) -> Tuple[str, ...]:
    """Returns the paths of a timm network's classifier: ``('head.fc',)``."""
    names = model.pretrained_cfg.get('classifier') or ()
    return (names,) if isinstance(names, str) else tuple(names)


def _from_dinov2(state_dict: StateDict) -> StateDict:
    """Undoes what its training adds; the mask token tells timm the rest."""
    renamed = {
        CHUNKED.sub(r'blocks.\1', key.removeprefix(DINO_BACKBONE)): value
        for key, value in state_dict.items()
        if not key.startswith(_DINO_HEADS)
    }
    renamed.setdefault('mask_token', torch.zeros(()))
    return renamed


def _from_open_clip(state_dict: StateDict, model: nn.Module) -> StateDict:
    """Takes out a tower that is itself a timm network; others timm converts.

    Its projection becomes timm's classifier; timm knows best one that is an
    MLP.
    """
    trunk = any(key.startswith(TRUNK) for key in state_dict)
    if not trunk or 'visual.head.mlp.fc1.weight' in state_dict:
        return state_dict
    head = (classifier_names(model) or ('head',))[0]
    renamed = {}
    for key, value in state_dict.items():
        # A head of another kind is left to the strict loading.
        if key.startswith('visual.'):
            key = key.replace('visual.head.proj.', f'{head}.')
            renamed[key.removeprefix(TRUNK)] = value
    projection = state_dict.get('visual.head.proj.weight')
    if projection is not None:
        renamed.setdefault(f'{head}.bias', torch.zeros(len(projection)))
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
            f'checkpoint {source}: expected the {len(wanted)} tensors of '
            f'{type(model).__name__}, got {len(tensors)} in the layout of '
            f'{EFFICIENTNET_LITE}; name the efficientnet_lite* model they '
            'belong to.'
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
            f'checkpoint {source}: expected patches of '
            f'{tuple(wanted.shape[2:])} pixels, got {tuple(came.shape[2:])}.'
        )
