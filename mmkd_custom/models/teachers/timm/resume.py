"""The frozen rest of a timm network, from its middle on."""

from __future__ import annotations

from contextlib import contextmanager
from math import isqrt
from typing import Any, Dict, Iterator, List, Optional, Tuple

import torch
import torch.nn as nn
from timm.models.beit import Beit
from timm.models.eva import Eva
from timm.models.swin_transformer import SwinTransformer
from timm.models.swin_transformer_v2 import SwinTransformerV2
from timm.models.vision_transformer import VisionTransformer

from ....errors import UserError
from ...outputs import Outputs
from .features import (
    PATCHES,
    Grid,
    final_norm,
    read_tokens,
    read_vector,
    reductions,
)

_VITS = (VisionTransformer, Eva, Beit)
_SWINS = (SwinTransformer, SwinTransformerV2)


def run_rest(
    teacher: nn.Module, x: torch.Tensor, after: int, grid: Optional[Grid]
) -> Outputs:
    """Implements :meth:`TimmTeacher.resume`, in the dtype of ``x``."""
    model = teacher.model
    if not isinstance(model, _VITS + _SWINS):
        raise UserError(
            f'teacher {teacher.name}: expected a ViT, EVA, BEiT or Swin of '
            f'timm to resume, got {type(model).__name__}.'
        )
    swin = isinstance(model, _SWINS)
    stages = model.layers if swin else model.blocks
    if type(after) is not int or not 0 <= after < len(stages):
        raise UserError(
            f'teacher {teacher.name}: expected after between 0 and '
            f'{len(stages) - 1}, got {after!r}.'
        )
    if swin:
        return _rest_of_swin(teacher, x, after)
    return _rest_of_vit(teacher, x, after, grid)


def _rest_of_swin(teacher: nn.Module, x: torch.Tensor, after: int) -> Outputs:
    model, maps = teacher.model, []
    width = model.feature_info[after]['num_chs']
    if x.ndim != 4 or x.shape[1] != width:
        raise _misfit(teacher, x, f'(N, {width}, h, w)')
    # (N, C, h, w) -> (N, h, w, C)
    x = x.permute(0, 2, 3, 1)
    for stage in model.layers[after + 1 :]:
        x = stage(x)
        maps.append(x.permute(0, 3, 1, 2))
    return _outputs(teacher, model.norm(x), teacher.input_size, maps)


def _rest_of_vit(
    teacher: nn.Module, x: torch.Tensor, after: int, grid: Optional[Grid]
) -> Outputs:
    model, maps = teacher.model, []
    if x.ndim == 4:
        grid = tuple(x.shape[2:])
        # (N, D, h, w) -> (N, h * w, D)
        x = x.flatten(2).transpose(1, 2)
    if x.ndim != 3 or x.shape[2] != model.embed_dim:
        raise _misfit(teacher, x, f'(N, L, {model.embed_dim})')
    grid, prefix = _layout(teacher, x, grid)
    with _prefix_tokens(model, prefix):
        for index in range(after + 1, len(model.blocks)):
            x = model.blocks[index](x, **_block_options(model, index, grid))
            # (N, P + L, D) -> (N, D, h, w)
            maps.append(x[:, prefix:].transpose(1, 2).unflatten(2, grid))
    x, own = model.norm(x), model.num_prefix_tokens
    if prefix == own:
        stride = reductions(model)[-1]
        return _outputs(teacher, x, tuple(e * stride for e in grid), maps)
    tokens = final_norm(model)(x)
    feature = tokens.mean(1) if teacher.feature == PATCHES else None
    return Outputs(feature, tokens=tokens, grid=grid, maps=tuple(maps) or None)


def _outputs(
    teacher: nn.Module,
    features: torch.Tensor,
    size: Tuple[int, int],
    maps: List[torch.Tensor],
) -> Outputs:
    model = teacher.model
    tokens = read_tokens(model, features, size)
    return Outputs(
        read_vector(teacher.feature, model, features, size, teacher.projects),
        tokens=tokens.patches,
        grid=tokens.grid,
        maps=tuple(maps) or None,
    )


def _layout(
    teacher: nn.Module, x: torch.Tensor, grid: Optional[Grid]
) -> Tuple[Grid, int]:
    """Returns the grid of tokens, and how many are not on it."""
    model, count = teacher.model, x.shape[1]
    own = model.num_prefix_tokens
    if grid is None and teacher.input_size is not None:
        stride = reductions(model)[-1]
        grid = tuple(edge // stride for edge in teacher.input_size)
    sides = {p: isqrt(max(count - p, 0)) for p in {own, 0}}
    grids = {p: tuple(grid) if grid else (s, s) for p, s in sides.items()}
    fitting = [p for p, (h, w) in grids.items() if count == p + h * w > p]
    if len(fitting) != 1:
        where = f'of a grid {tuple(grid)}' if grid else 'of a given grid'
        raise _misfit(teacher, x, f'h * w or {own} + h * w tokens {where}')
    (prefix,) = fitting
    if prefix != own and isinstance(model, Beit):
        raise _misfit(teacher, x, 'the class token before the patches')
    return grids[prefix], prefix


def _block_options(model: nn.Module, index: int, grid: Grid) -> Dict[str, Any]:
    if isinstance(model, Beit):
        bias = model.rel_pos_bias
        return dict(shared_rel_pos_bias=None if bias is None else bias())
    if not isinstance(model, Eva) or model.rope is None:
        return {}
    rope = model.rope.get_embed(shape=list(grid))
    # Positions may be learned block by block.
    mixed = getattr(model, 'rope_mixed', False)
    return dict(rope=rope[index] if mixed else rope)


@contextmanager
def _prefix_tokens(model: nn.Module, count: int) -> Iterator[None]:
    """Has rotary attention turn all tokens but the first ``count``."""
    layers = [block.attn for block in model.blocks if isinstance(model, Eva)]
    own = [layer.num_prefix_tokens for layer in layers]
    try:
        for layer in layers:
            layer.num_prefix_tokens = count
        yield
    finally:
        for layer, before in zip(layers, own):
            layer.num_prefix_tokens = before


def _misfit(teacher: nn.Module, x: torch.Tensor, wanted: str) -> UserError:
    return UserError(
        f'teacher {teacher.name}: expected x to be {wanted}, got '
        f'{tuple(x.shape)}.'
    )
