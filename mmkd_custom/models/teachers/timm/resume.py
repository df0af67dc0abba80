"""The frozen rest of a timm network, from its middle on."""

from __future__ import annotations

from contextlib import contextmanager
from functools import partial
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
from ...outputs import Outputs, Shape
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


def middles(teacher: nn.Module, size: Grid) -> List[Shape]:
    """Implements :meth:`TimmTeacher.middles`."""
    model = teacher.model
    _check_kind(teacher)
    size = teacher.input_size or size
    if isinstance(model, _SWINS):
        return [
            # Where a stage has an odd edge it is padded.
            Shape(
                (
                    stage['num_chs'],
                    *(-(-e // stage['reduction']) for e in size),
                )
            )
            for stage in model.feature_info
        ]
    stride = reductions(model)[-1]
    grid = size[0] // stride, size[1] // stride
    tokens = Shape((grid[0] * grid[1], model.embed_dim), grid)
    return len(model.blocks) * [tokens]


def run_rest(
    teacher: nn.Module,
    x: torch.Tensor,
    after: int,
    grid: Optional[Grid],
    until: Optional[int],
) -> Outputs:
    """Implements :meth:`TimmTeacher.resume`, in the dtype of ``x``."""
    model = teacher.model
    _check_kind(teacher)
    swin = isinstance(model, _SWINS)
    count = len(model.layers if swin else model.blocks)
    last = count - 1 if until is None else until
    if type(after) is not int or not 0 <= after < count:
        raise UserError(
            f'teacher {teacher.name}: expected after between 0 and '
            f'{count - 1}, got {after!r}.'
        )
    if type(last) is not int or not after <= last < count:
        raise UserError(
            f'teacher {teacher.name}: expected until between {after} and '
            f'{count - 1}, got {until!r}.'
        )
    if swin:
        return _rest_of_swin(teacher, x, after, last)
    return _rest_of_vit(teacher, x, after, grid, last)


def _check_kind(teacher: nn.Module) -> None:
    model = teacher.model
    if not isinstance(model, _VITS + _SWINS):
        raise UserError(
            f'teacher {teacher.name}: expected a ViT, EVA, BEiT or Swin of '
            f'timm to resume, got {type(model).__name__}.'
        )


def _rest_of_swin(
    teacher: nn.Module, x: torch.Tensor, after: int, last: int
) -> Outputs:
    model, maps = teacher.model, []
    width = model.feature_info[after]['num_chs']
    if x.ndim != 4 or x.shape[1] != width:
        raise _misfit(teacher, x, f'(N, {width}, h, w)')
    # (N, C, h, w) -> (N, h, w, C)
    x = x.permute(0, 2, 3, 1)
    for stage in model.layers[after + 1 : last + 1]:
        x = stage(x)
        maps.append(x.permute(0, 3, 1, 2))
    if last + 1 < len(model.layers):
        tokens, grid = x.flatten(1, 2), tuple(x.shape[1:3])
        return Outputs(tokens=tokens, grid=grid, maps=tuple(maps) or None)
    return _outputs(teacher, model.norm(x), teacher.input_size, maps)


def _rest_of_vit(
    teacher: nn.Module,
    x: torch.Tensor,
    after: int,
    grid: Optional[Grid],
    last: int,
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
        for index in range(after + 1, last + 1):
            x = model.blocks[index](
                x, **_block_options(model, index, grid, prefix)
            )
            # (N, P + L, D) -> (N, D, h, w)
            maps.append(x[:, prefix:].transpose(1, 2).unflatten(2, grid))
    if last + 1 < len(model.blocks):
        tokens = x[:, prefix:]
        return Outputs(tokens=tokens, grid=grid, maps=tuple(maps) or None)
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
    if (
        isinstance(model, Beit)
        and grids[prefix] != model.patch_embed.grid_size
    ):
        # Its relative positions are of one grid.
        wanted = f'of its own grid {tuple(model.patch_embed.grid_size)}'
        raise _misfit(teacher, x, wanted)
    return grids[prefix], prefix


def _block_options(
    model: nn.Module, index: int, grid: Grid, prefix: int
) -> Dict[str, Any]:
    if isinstance(model, Beit):
        bias = model.rel_pos_bias
        absent = model.num_prefix_tokens - prefix
        return dict(
            shared_rel_pos_bias=None
            if bias is None
            else bias()[..., absent:, absent:]
        )
    if not isinstance(model, Eva) or model.rope is None:
        return {}
    rope = model.rope.get_embed(shape=list(grid))
    # Positions may be learned block by block.
    mixed = getattr(model, 'rope_mixed', False)
    return dict(rope=rope[index] if mixed else rope)


@contextmanager
def _prefix_tokens(model: nn.Module, count: int) -> Iterator[None]:
    """Tells attention how many tokens, the first ones, are on no grid.

    Rotary attention turns all others; of BEiT's relative positions those of
    a class token that is not there are left out.
    """
    layers = [block.attn for block in model.blocks]
    own = model.num_prefix_tokens
    try:
        for layer in layers:
            if isinstance(model, Eva):
                layer.num_prefix_tokens = count
            elif isinstance(model, Beit) and layer.window_size and count < own:
                # Before the method of its class, which it hides.
                layer._get_rel_pos_bias = partial(_bias_of_patches, layer)
        yield
    finally:
        for layer in layers:
            if isinstance(model, Eva):
                layer.num_prefix_tokens = own
            vars(layer).pop('_get_rel_pos_bias', None)


def _bias_of_patches(layer: nn.Module) -> torch.Tensor:
    # The class token comes first: (1, heads, 1 + L, 1 + L)
    return type(layer)._get_rel_pos_bias(layer)[..., 1:, 1:]


def _misfit(teacher: nn.Module, x: torch.Tensor, wanted: str) -> UserError:
    return UserError(
        f'teacher {teacher.name}: expected x to be {wanted}, got '
        f'{tuple(x.shape)}.'
    )
