"""timm's networks: finding and building them, and what their cards say."""

from __future__ import annotations

import logging
import re
from typing import Any, Dict, List, Optional, Tuple, Union

import timm
import torch
import torch.nn as nn
from mmengine.logging import print_log
from timm.models import get_pretrained_cfg, is_model

from ....errors import UserError, nearest
from .features import is_plain, reductions

#: The input size, and whatever else, that a network's card tells.
CARD = 'card'

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
    """Builds a network of timm.

    Args:
        name (str): In timm, with or without a tag.
        pretrained (bool): Whether timm downloads its weights.
        input_size (int | tuple[int, int] | 'card', optional): Pixels that a
            network of one input size is built for; 'card' is its card's.
        kwargs (dict): Further arguments of ``timm.create_model``.

    Returns:
        nn.Module: With its ``pretrained_cfg``.

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
                f'teacher {name}: is built for one input size, so '
                "input_size=None (the student's) is impossible; give 'card' "
                'or a number of pixels.'
            )
        model = _create(name, pretrained, dict(img_size=input_size, **kwargs))
    if not hasattr(model, 'forward_head'):
        raise UserError(
            f'teacher {name}: timm builds a {type(model).__name__} with '
            f'{kwargs}, which gives maps alone; a whole network is wanted, '
            'whose maps are offered as well.'
        )
    own = model.pretrained_cfg.get('num_classes')
    if pretrained and model.num_classes not in (0, own):
        # timm would leave the classifier as it was initialised.
        raise UserError(
            f'teacher {name}: num_classes={model.num_classes}, but the head '
            f'of its pretrained weights is {own} wide; leave num_classes out, '
            'or give 0 and fit a head with tools/probe_teacher.py.'
        )
    return model


def has_fixed_size(model: nn.Module) -> bool:
    """Says whether a network takes images of one size alone.

    Args:
        model (nn.Module): Built by timm.

    Returns:
        bool: False where position embeddings are resampled on the fly.
    """
    return bool(model.pretrained_cfg.get('fixed_input_size')) and not getattr(
        model, 'dynamic_img_size', False
    )


def patch_multiple(model: nn.Module) -> int:
    """Gives what height and width of the images must be multiples of.

    Args:
        model (nn.Module): Built by timm.

    Returns:
        int: Pixels; 1 for a network without patches.
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
    """Says which file timm downloads, and whence.

    Args:
        card (dict): A ``pretrained_cfg`` of timm.

    Returns:
        str: A local path, a URL, or a name and a URL.
    """
    if card.get('file'):
        return str(card['file'])
    if card.get('hf_hub_id'):
        file = card.get('hf_hub_filename') or 'model.safetensors'
        return f'{file} of https://huggingface.co/{card["hf_hub_id"]}'
    return str(card.get('url'))


def has_projection(card: Dict[str, Any]) -> bool:
    """Says whether weights have a projection where others have a classifier.

    timm keeps the projection of a CLIP image tower as its ``head`` and its
    width as ``num_classes``, so only the name tells it from a classifier:
    that of the network or of its weights is a CLIP's, and the weights were
    not trained further on classes (``…_ft_in1k``). Projections are multiples
    of 64 wide, which class sets of somebody's own seldom are. SigLIP has none.

    Args:
        card (dict): A ``pretrained_cfg`` of timm.

    Returns:
        bool: True for a projection, False for a classifier and for no head.
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


def is_tower(model: nn.Module, head: Optional[torch.Tensor]) -> bool:
    """Says whether a head of timm's layout is the projection of a CLIP tower.

    Args:
        model (nn.Module): Built by timm.
        head (Tensor, optional): Weights (D, ...) of the last layer.

    Returns:
        bool: True if the network's own head is not as wide, but that of some
        CLIP tower of its architecture is.
    """
    card = model.pretrained_cfg
    return (
        head is not None
        and len(head) != model.num_classes
        and len(head)
        in {
            get_pretrained_cfg(name).num_classes
            for name in _projection_names(str(card.get('architecture')))
        }
    )


def check_tower(model: nn.Module, source: str) -> None:
    """Refuses CLIP weights for a network that timm gives a classifier.

    Args:
        model (nn.Module): Built by timm.
        source (str): What the error calls the weights.

    Raises:
        UserError: If the network's head is a classifier, though timm has a
            card of its architecture whose head is the projection.
    """
    card = model.pretrained_cfg
    names = _projection_names(str(card.get('architecture')))
    if model.num_classes and names and not has_projection(card):
        raise UserError(
            f'checkpoint {source}: holds a CLIP model, whose image tower ends '
            f'in a projection, but {card["architecture"]}.{card.get("tag")} '
            f'ends in a classifier; name one of {", ".join(names)}.'
        )


def check_activation(card: Dict[str, Any], openai: bool = False) -> None:
    """Warns where the weights were trained with another GELU.

    Args:
        card (dict): A ``pretrained_cfg`` of timm.
        openai (bool): Whether they are known to be OpenAI's, whatever the
            card says. Defaults to False.
    """
    name = _quickgelu_name(card, openai)
    if name is not None:
        print_log(
            f'teacher {card["architecture"]}: its weights were trained with '
            f'QuickGELU, which timm gives to {name}; name that for the '
            'features of the original.',
            logger='current',
            level=logging.WARNING,
        )


def _check_name(name: str, pretrained: bool) -> None:
    if ':' in name:
        return
    architecture, _, tag = name.partition('.')
    if not is_model(architecture):
        raise UserError(
            f'teacher: timm knows no model {name!r}; '
            f'{nearest(name, timm.list_models() + timm.list_pretrained())}.'
        )
    known = timm.list_pretrained(f'{architecture}.*')
    if tag and name not in known:
        raise UserError(
            f'teacher: timm knows no weights {name!r} of '
            f'{architecture!r}; {nearest(name, known)}.'
        )
    if pretrained and not known:
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
        downloads = pretrained or name.startswith('hf-hub:')
        if isinstance(error, TypeError) or (kwargs and not downloads):
            raise UserError(
                f'teacher {name}: timm cannot build it with {kwargs}: {error}.'
            ) from error
        if ':' in name and not name.startswith('hf-hub:'):
            raise UserError(
                f'teacher {name}: timm cannot build it from there '
                f'({type(error).__name__}: {error}).'
            ) from error
        if not downloads:
            raise
        raise UserError(
            f'teacher {name}: its pretrained weights could not be downloaded '
            f'({type(error).__name__}: {error}); download '
            f'{pretrained_file(_card(name))} elsewhere and name the file '
            'with checkpoint=<path> in place of pretrained=True.'
        ) from error


def _card(name: str) -> Dict[str, Any]:
    if ':' in name:
        return dict(hf_hub_id=name.partition(':')[2])
    return get_pretrained_cfg(name).to_dict()


def _projection_names(architecture: str) -> List[str]:
    return [
        name
        for name in timm.list_pretrained(f'{architecture}.*')
        if has_projection(get_pretrained_cfg(name).to_dict())
    ]


def _quickgelu_name(card: Dict[str, Any], openai: bool) -> Optional[str]:
    # OpenAI and others trained with x * sigmoid(1.702 x). timm lists their
    # weights both for a network with that and for one with the exact GELU, in
    # which they may be trained further but whose features differ.
    architecture = str(card.get('architecture'))
    if '_clip_' not in architecture or 'quickgelu' in architecture:
        return None
    twin = architecture.replace('_clip_', '_clip_quickgelu_')
    name = f'{twin}.{"openai" if openai else card.get("tag")}'
    return name if name in timm.list_pretrained(f'{twin}.*') else None
