"""What a timm network says about images: vectors, tokens and maps."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Dict, List, Optional, Sequence, Tuple

import torch
import torch.nn as nn

from ....errors import UserError

POOLED, PROJECTED = 'pooled', 'projected'
CLS, REGISTERS = 'cls', 'registers'
PATCHES, CLS_PATCHES = 'patches', 'cls_patches'

#: Every vector that some network has; see :class:`TimmTeacher`.
VECTORS = (POOLED, PROJECTED, CLS, REGISTERS, PATCHES, CLS_PATCHES)

#: Maps of a network whose blocks all see one grid.
PLAIN_MAPS = 4


@dataclass
class Tokens:
    """The normalised tokens of N images.

    Attributes:
        patches (Tensor): (N, L, D), row by row of the grid.
        grid (tuple[int, int]): (h, w) with h * w = L.
        cls (Tensor, optional): (N, D), the class token.
        registers (Tensor, optional): (N, R, D).
    """

    patches: torch.Tensor
    grid: Tuple[int, int]
    cls: Optional[torch.Tensor] = None
    registers: Optional[torch.Tensor] = None


def reductions(model: nn.Module) -> List[int]:
    """Gives the strides in pixels of the maps that a network can give.

    Args:
        model (nn.Module): Built by timm.

    Returns:
        list[int]: One for each map; none where timm does not know them.
    """
    strides = [
        int(info['reduction']) for info in getattr(model, 'feature_info', ())
    ]
    return strides if all(strides) else []


def is_plain(model: nn.Module) -> bool:
    """Says whether every block sees the same grid, as in a plain ViT.

    Args:
        model (nn.Module): Built by timm.

    Returns:
        bool: False for a network with stages.
    """
    strides = reductions(model)
    return bool(strides) and len(set(strides)) == 1


def choose_maps(
    model: nn.Module, indices: Optional[Sequence[int]]
) -> Optional[List[int]]:
    """Chooses the maps a network is to give.

    Args:
        model (nn.Module): Built by timm.
        indices (Sequence[int], optional): The user's choice; negative ones
            count from the end. None takes every stage, or
            :data:`PLAIN_MAPS` evenly spaced blocks of a plain network.

    Returns:
        list[int], optional: What ``forward_intermediates`` takes.

    Raises:
        UserError: If the network gives no maps, an index does not exist, or
            they do not increase.
    """
    count = len(reductions(model))
    if indices is None:
        if not is_plain(model) or count <= PLAIN_MAPS:
            return None
        return [(i + 1) * count // PLAIN_MAPS - 1 for i in range(PLAIN_MAPS)]
    if not hasattr(model, 'forward_intermediates'):
        raise UserError(
            f'teacher: map_indices={indices!r}, but timm gives no maps of '
            f'{type(model).__name__}.'
        )
    try:
        places = [range(count)[index] for index in indices]
    except (IndexError, TypeError):
        places = []
    if not places or places != sorted(set(places)):
        raise UserError(
            f'teacher: map_indices={indices!r}, but increasing indices of '
            f'the {count} maps of {type(model).__name__} are wanted, between '
            f'{-count} and {count - 1}.'
        )
    return list(indices)


def read_tokens(
    model: nn.Module, features: Any, size: Tuple[int, int]
) -> Optional[Tokens]:
    """Reads the tokens out of what ``forward_features`` returned.

    Where the network normalises only after pooling, its normalisation is
    applied to each token [ours].

    Args:
        model (nn.Module): Built by timm.
        features (Tensor): (N, P + L, D) with P class and register tokens,
            (N, C, h, w), or (N, h, w, C) of a network that says so.
        size (tuple[int, int]): Height and width of the images in pixels.

    Returns:
        Tokens, optional: None where they are not laid out on one grid.
    """
    if not torch.is_tensor(features) or features.ndim not in (3, 4):
        return None
    if features.ndim == 4:
        if str(getattr(model, 'output_fmt', 'NCHW')) != 'NHWC':
            # (N, C, h, w) -> (N, h, w, C)
            features = features.permute(0, 2, 3, 1)
        # (N, h, w, C) -> (N, h * w, C)
        return Tokens(features.flatten(1, 2), tuple(features.shape[1:3]))
    grid = _grid(model, features.shape[1], size)
    if grid is None:
        return None
    tokens = _final_norm(model)(features)
    prefix = tokens.shape[1] - grid[0] * grid[1]
    cls, registers = (
        _parameter(model, name) for name in ('cls_token', 'reg_token')
    )
    count = 0 if registers is None else registers.shape[-2]
    return Tokens(
        tokens[:, prefix:],
        grid,
        tokens[:, 0] if prefix and cls is not None else None,
        tokens[:, prefix - count : prefix] if 0 < count <= prefix else None,
    )


def read_vector(
    name: str,
    model: nn.Module,
    features: Any,
    size: Tuple[int, int],
    projects: bool,
) -> torch.Tensor:
    """Reads one vector an image out of what ``forward_features`` returned.

    Args:
        name (str): One of :data:`VECTORS`.
        model (nn.Module): Built by timm.
        features (Any): What its ``forward_features`` returned.
        size (tuple[int, int]): Height and width of the images in pixels.
        projects (bool): Whether its head is a projection.

    Returns:
        Tensor: (N, D).

    Raises:
        UserError: If the network has no such vector.
    """
    if name == POOLED:
        return model.forward_head(features, pre_logits=True)
    if name == PROJECTED and projects:
        return model.forward_head(features)
    vectors = _token_vectors(read_tokens(model, features, size))
    if name not in list(vectors):
        known = [POOLED] + [PROJECTED] * projects + list(vectors)
        raise UserError(
            f'teacher: {type(model).__name__} has no feature={name!r}, only '
            f'{", ".join(known)}.'
        )
    return vectors[name]


def _token_vectors(tokens: Optional[Tokens]) -> Dict[str, torch.Tensor]:
    if tokens is None:
        return {}
    mean = tokens.patches.mean(1)
    vectors = {PATCHES: mean}
    if tokens.cls is not None:
        vectors[CLS] = tokens.cls
        # (N, D), (N, D) -> (N, 2 * D)
        vectors[CLS_PATCHES] = torch.cat([tokens.cls, mean], 1)
    if tokens.registers is not None:
        vectors[REGISTERS] = tokens.registers.mean(1)
    return vectors


def _grid(
    model: nn.Module, count: int, size: Tuple[int, int]
) -> Optional[Tuple[int, int]]:
    strides = reductions(model)
    if not strides:
        return None
    prefix = getattr(model, 'num_prefix_tokens', None)
    # Networks differ in whether a stride rounds up or down.
    for rounded in (math.ceil, math.floor):
        grid = tuple(rounded(edge / strides[-1]) for edge in size)
        extra = count - grid[0] * grid[1]
        if extra == prefix or (prefix is None and extra in (0, 1)):
            return grid
    return None


def _final_norm(model: nn.Module) -> nn.Module:
    norm, pooled_norm = (
        getattr(model, name, None) for name in ('norm', 'fc_norm')
    )
    if isinstance(norm, nn.Identity) and pooled_norm is not None:
        return pooled_norm
    return nn.Identity()


def _parameter(model: nn.Module, name: str) -> Optional[torch.Tensor]:
    # NaFlexViT keeps its tokens in a module of its own.
    for owner in (model, getattr(model, 'embeds', None)):
        if getattr(owner, name, None) is not None:
            return getattr(owner, name)
    return None
