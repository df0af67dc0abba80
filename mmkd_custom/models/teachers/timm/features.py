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

#: Maps of a network whose blocks all see one grid.
PLAIN_MAPS = 4

Grid = Tuple[int, int]


@dataclass
class Tokens:
    """The normalised tokens of N images."""

    patches: torch.Tensor  # (N, L, D), row by row of the grid
    grid: Grid  # (h, w) with h * w = L
    cls: Optional[torch.Tensor] = None  # (N, D)
    registers: Optional[torch.Tensor] = None  # (N, R, D)


def reductions(model: nn.Module) -> List[int]:
    """Returns the stride in pixels of each map that a network can give.

    None of them where timm does not know them.
    """
    strides = [
        int(info['reduction']) for info in getattr(model, 'feature_info', ())
    ]
    return strides if all(strides) else []


def is_plain(model: nn.Module) -> bool:
    """Whether every block sees the same grid, as in a plain ViT."""
    return len(set(reductions(model))) == 1


def choose_maps(
    model: nn.Module, indices: Optional[Sequence[int]]
) -> Optional[List[int]]:
    """Returns the maps a network is to give, as timm takes them.

    None is every stage. Where the user chose none of a plain network, these
    are :data:`PLAIN_MAPS` evenly spaced blocks.

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
        count = 0
    known = {i: i % count for i in range(-count, count)}
    given = [] if isinstance(indices, int) else list(indices)
    places = [known.get(index, -1) for index in given]
    if not places or -1 in places or places != sorted(set(places)):
        raise UserError(
            'teacher: expected map_indices to be increasing indices of the '
            f'{count} maps of {type(model).__name__}, between {-count} and '
            f'{count - 1}, got {indices!r}.'
        )
    return given


def read_tokens(
    model: nn.Module, features: Any, size: Tuple[int, int]
) -> Optional[Tokens]:
    """Reads the tokens out of what ``forward_features`` returned.

    Where the network normalises only after pooling, its normalisation is
    applied to each token, which is ours.

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
    tokens = final_norm(model)(features)
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

    Args as for :func:`read_tokens`; ``projects`` is whether the head is a
    projection.

    Returns:
        Tensor: (N, D).

    Raises:
        UserError: If the network has no such vector.
    """
    if name == POOLED:
        return model.forward_head(features, pre_logits=True)
    if name == PROJECTED and projects:
        return model.forward_head(features)
    vectors: Dict[str, torch.Tensor] = {}
    tokens = read_tokens(model, features, size)
    if tokens is not None:
        vectors[PATCHES] = mean = tokens.patches.mean(1)
        if tokens.cls is not None:
            vectors[CLS] = tokens.cls
            # (N, D), (N, D) -> (N, 2 * D)
            vectors[CLS_PATCHES] = torch.cat([tokens.cls, mean], 1)
        if tokens.registers is not None:
            vectors[REGISTERS] = tokens.registers.mean(1)
    # A list, for a name that is no string.
    if name not in list(vectors):
        known = [POOLED, *[PROJECTED] * projects, *vectors]
        raise UserError(
            f'teacher: expected feature of {type(model).__name__} out of '
            f'{", ".join(known)}, got {name!r}.'
        )
    return vectors[name]


def final_norm(model: nn.Module) -> nn.Module:
    """Returns what normalises tokens after ``forward_features``, if any."""
    norm, pooled_norm = (
        getattr(model, name, None) for name in ('norm', 'fc_norm')
    )
    if isinstance(norm, nn.Identity) and pooled_norm is not None:
        return pooled_norm
    return nn.Identity()


def _grid(
    model: nn.Module, count: int, size: Tuple[int, int]
) -> Optional[Grid]:
    prefix = getattr(model, 'num_prefix_tokens', None)
    # Networks differ in whether a stride rounds up or down.
    for rounded in (math.ceil, math.floor):
        for stride in reductions(model)[-1:]:
            grid = tuple(rounded(edge / stride) for edge in size)
            extra = count - grid[0] * grid[1]
            if extra == prefix or (prefix is None and extra in (0, 1)):
                return grid
    return None


def _parameter(model: nn.Module, name: str) -> Optional[torch.Tensor]:
    # NaFlexViT keeps its tokens in a module of its own.
    for owner in (model, getattr(model, 'embeds', None)):
        if getattr(owner, name, None) is not None:
            return getattr(owner, name)
    return None
