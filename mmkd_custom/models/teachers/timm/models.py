"""timm's networks: finding and building them, and what their cards say."""

from __future__ import annotations

import logging
import re
from typing import Any, Dict, Tuple, Union

import timm
import torch.nn as nn
from mmengine.logging import print_log
from timm.models import get_pretrained_cfg, is_model

from ....errors import UserError, nearest
from .features import is_plain, reductions

#: The input size, and whatever else, that a network's card tells.
CARD = 'card'

HUB = 'hf-hub:'

#: Names of image towers that were trained against text, and of what they were
#: trained further on: ImageNet's class sets.
_TOWER = re.compile(r'clip|pe_core')
_CLASSES = re.compile(r'(^|_)in\d+k')


def build(
    name: str,
    pretrained: bool,
    input_size: Union[int, Tuple[int, int], str, None],
    kwargs: Dict[str, Any],
) -> nn.Module:
    """Builds a network of timm for the arguments of :class:`TimmTeacher`.

    Raises:
        UserError: If timm does not know the name or the arguments, the
            weights cannot be downloaded, they have another classifier, or the
            network cannot take any size.
    """
    _check_name(name, pretrained)
    model = _create(name, pretrained, kwargs)
    if (
        has_fixed_size(model)
        and input_size != CARD
        and 'img_size' not in kwargs
    ):
        if input_size is None:
            raise UserError(
                f"teacher {name}: expected input_size='card' or a number of "
                'pixels, since it is built for one input size, got None.'
            )
        model = _create(name, pretrained, dict(img_size=input_size, **kwargs))
    if not hasattr(model, 'forward_head'):
        raise UserError(
            f'teacher {name}: expected a whole network, whose maps are '
            f'offered as well, got a {type(model).__name__} by {kwargs}.'
        )
    own = model.pretrained_cfg.get('num_classes')
    if pretrained and model.num_classes not in (0, own):
        # timm would leave the classifier as it was initialised.
        raise UserError(
            f'teacher {name}: expected num_classes={own}, the width of the '
            f'head of its pretrained weights, got {model.num_classes}; leave '
            'it out, or give 0 and fit a head with tools/probe_teacher.py.'
        )
    return model


def has_fixed_size(model: nn.Module) -> bool:
    """Whether a network takes images of one size alone.

    False where position embeddings are resampled on the fly.
    """
    return bool(model.pretrained_cfg.get('fixed_input_size')) and not getattr(
        model, 'dynamic_img_size', False
    )


def patch_multiple(model: nn.Module) -> int:
    """Returns what height and width of the images must be multiples of.

    1 for a network without patches.
    """
    embed = getattr(model, 'patch_embed', None)
    # A hybrid's patches are those of the network before it times its own.
    if hasattr(embed, 'feat_ratio'):
        return embed.feat_ratio()
    if is_plain(model):
        return reductions(model)[-1]
    projection = getattr(embed, 'proj', None)
    if getattr(projection, 'kernel_size', 1) != getattr(
        projection, 'stride', 1
    ):
        # Patches that overlap, such as PVT's, take images of any size.
        return 1
    patch = getattr(embed, 'patch_size', 1)
    return patch if isinstance(patch, int) else max(patch)


def pretrained_file(card: Dict[str, Any]) -> str:
    """Returns which file timm takes for a ``pretrained_cfg``, and from where.

    A local path, a URL, or a name and a URL.
    """
    if card.get('file'):
        return str(card['file'])
    if card.get('hf_hub_id'):
        file = card.get('hf_hub_filename') or 'model.safetensors'
        return f'{file} of https://huggingface.co/{card["hf_hub_id"]}'
    return str(card.get('url'))


def has_projection(card: Dict[str, Any]) -> bool:
    """Whether weights have a projection where others have a classifier.

    timm keeps the projection of a CLIP image tower as its ``head`` and its
    width as ``num_classes``, so only the name tells it from a classifier:
    that of the network or of its weights is a CLIP's, and the weights were
    not trained further on classes (``…_ft_in1k``). Projections are multiples
    of 64 wide, which class sets of somebody's own seldom are. SigLIP has none.

    Args:
        card (dict): A ``pretrained_cfg`` of timm.
    """
    tag = str(card.get('tag') or '')
    name = f'{card.get("architecture")}.{tag} {card.get("hf_hub_id")}'
    width = card.get('num_classes') or 0
    return (
        width > 0
        and width % 64 == 0
        and bool(_TOWER.search(name))
        and not _CLASSES.search(tag)
    )


def check_activation(card: Dict[str, Any], openai: bool = False) -> None:
    """Warns where the weights were trained with another GELU.

    OpenAI and others trained with x * sigmoid(1.702 x). timm lists their
    weights also for a network with the exact GELU, whose features differ.

    Args:
        card (dict): A ``pretrained_cfg`` of timm.
        openai (bool): Whether they are OpenAI's, whatever the card says.
            Defaults to False.
    """
    architecture = str(card.get('architecture'))
    if '_clip_' not in architecture or 'quickgelu' in architecture:
        return
    twin = architecture.replace('_clip_', '_clip_quickgelu_')
    name = f'{twin}.{"openai" if openai else card.get("tag")}'
    if name in timm.list_pretrained(f'{twin}.*'):
        print_log(
            f'teacher {architecture}: its weights were trained with '
            f'QuickGELU, which timm gives to {name}; name that for the '
            'features of the original.',
            logger='current',
            level=logging.WARNING,
        )


def _check_name(name: str, pretrained: bool) -> None:
    if ':' in name:
        return
    architecture, _, tag = name.partition('.')
    cards = timm.list_pretrained(f'{architecture}.*')
    if not is_model(architecture) or (tag and name not in cards):
        known = cards or timm.list_models() + timm.list_pretrained()
        raise UserError(
            f'teacher: expected a model of timm, got {name!r}; '
            f'{nearest(name, known)}.'
        )
    if pretrained and not cards:
        raise UserError(
            f'teacher: timm has no pretrained weights for {name!r}; name a '
            'file of them with checkpoint=<path>.'
        )


def _create(name: str, pretrained: bool, kwargs: Dict[str, Any]) -> nn.Module:
    # Vision transformers are built for their card's size, at which their
    # position embeddings are stored, and resample them for any other.
    dynamic = dict(dict(dynamic_img_size=True), **kwargs)
    try:
        try:
            return timm.create_model(name, pretrained=pretrained, **dynamic)
        except TypeError as error:
            if 'dynamic_img_size' not in str(error):
                raise
        return timm.create_model(name, pretrained=pretrained, **kwargs)
    except Exception as error:
        # Networks refuse arguments, and the clients that timm downloads with
        # fail, with errors of all kinds.
        reason = f'{type(error).__name__}: {error}'
        downloads = pretrained or name.startswith(HUB)
        if downloads and not isinstance(error, TypeError):
            card = dict(hf_hub_id=name.removeprefix(HUB))
            if ':' not in name:
                card = get_pretrained_cfg(name).to_dict()
            raise UserError(
                f'teacher {name}: its pretrained weights could not be '
                f'downloaded ({reason}); download {pretrained_file(card)} '
                'elsewhere and name the file with checkpoint=<path> in place '
                'of pretrained=True.'
            ) from error
        if not kwargs and ':' not in name and not isinstance(error, TypeError):
            raise
        raise UserError(
            f'teacher {name}: timm cannot build it with {kwargs} ({reason}).'
        ) from error
