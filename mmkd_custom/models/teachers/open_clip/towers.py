"""Which tensor is which in the image towers of open_clip."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Dict, Optional, Sequence, Tuple, Union

import torch
import torch.nn as nn
from mmengine.logging import print_log
from open_clip.modified_resnet import ModifiedResNet
from open_clip.timm_model import TimmModel
from timm.layers import resample_abs_pos_embed
from torch import Tensor
from torch.func import functional_call

from ....errors import UserError
from ..timm.features import PLAIN_MAPS, choose_maps, read_tokens, reductions

Size = Tuple[int, int]
Tensors = Tuple[Tensor, ...]

RESIZED = 'teacher: position embeddings are interpolated from'


@dataclass
class Consumed:
    """What the pooling of an image tower consumes, of N images.

    Attributes:
        features (Tensor): (N, prefix + L, D_p), (N, D_p, h, w) or (N, h, w,
            D_p).
        size (tuple[int, int]): Height and width of the images in pixels.
        maps (tuple[Tensor], optional): A map (N, C_i, h_i, w_i) a stage.
    """

    features: Tensor
    size: Size
    maps: Optional[Tensors] = None


class ImageTower(nn.Module):
    """An image tower of open_clip in steps, so that only some may be taken.

    Each kind has ``forward(images, with_maps)``, which returns the features
    that are pooled, followed by the maps if asked; and of what
    :meth:`consume` returned makes ``tokens``, the patch tokens (N, L, D_p)
    and their grid (h, w); ``cls``, the class token (N, D_p), if there is one;
    ``pooled``, the vector (N, D_p) that the projection consumes; and
    ``projected``, the image embedding (N, D), as ``encode_image`` does.

    Args:
        visual (nn.Module): ``model.visual`` of an open_clip model.

    Attributes:
        has_cls (bool): Whether it has a class token.
        has_maps (bool): Whether it gives maps.
        any_size (bool): Whether, once built, it takes images of any size.
        patch_multiple (int): Height and width must be multiples of it.
        position_key (str): Name of the position embeddings (1 + h * w, D) in
            the state dict of ``visual``, the first for no patch; '' if there
            are none of that form.
    """

    has_cls: bool = False
    has_maps: bool = True
    any_size: bool = False
    patch_multiple: int = 1
    position_key: str = ''

    def __init__(self, visual: nn.Module) -> None:
        super().__init__()
        self.visual = visual
        self.grid = self._grid(self.size)

    @property
    def size(self) -> Size:
        """tuple[int, int]: Height and width it was configured for."""
        return _pair(self.visual.image_size)

    def consume(self, images: Tensor, with_maps: bool) -> Consumed:
        """Runs the tower up to its pooling.

        Args:
            images (Tensor): (N, 3, H, W), normalised.
            with_maps (bool): Whether maps are kept.
        """
        size = (images.shape[2], images.shape[3])
        grid, other = self._grid(size), {}
        if self.position_key and self.any_size and grid != self.grid:
            other[f'visual.{self.position_key}'] = self._resampled(grid)
        features, *maps = functional_call(self, other, (images, with_maps))
        return Consumed(features, size, tuple(maps) if with_maps else None)

    def patches(self, consumed: Consumed) -> Tensor:
        """Returns the mean (N, D_p) of the patch tokens."""
        return self.tokens(consumed)[0].mean(1)

    def expect(self, state_dict: Dict[str, Tensor]) -> None:
        """Makes room for weights whose positions are of another size."""
        positions = state_dict.get(self.position_key)
        if positions is None or positions.ndim != 2:
            return
        own = self.visual.get_parameter(self.position_key)
        edge = math.isqrt(max(len(positions) - 1, 0))
        if len(positions) != len(own) and edge**2 + 1 == len(positions):
            # Of its own width: that of another one is for loading to refuse.
            self._set(own.new_zeros(len(positions), own.shape[1]))
            self.grid = (edge, edge)

    def resize(self, size: Size) -> None:
        """Interpolates position embeddings, once, for one input size.

        Args:
            size (tuple[int, int]): Height and width in pixels.

        Raises:
            UserError: If the tower cannot change its size.
        """
        grid = self._grid(size)
        if grid != self.grid:
            print_log(f'{RESIZED} {self.grid} to {grid} patches.', 'current')
            self._set(self._resampled(grid).detach())
            self.grid = grid

    def _grid(self, size: Size) -> Size:
        return size[0] // self.patch_multiple, size[1] // self.patch_multiple

    def _resampled(self, grid: Size) -> Tensor:
        own = self.visual.get_parameter(self.position_key)
        return resample_abs_pos_embed(own[None], grid, self.grid)[0]

    def _set(self, positions: Tensor) -> None:
        owner, _, name = self.position_key.rpartition('.')
        owner = self.visual.get_submodule(owner)
        setattr(owner, name, nn.Parameter(positions))


class ViTTower(ImageTower):
    """open_clip's own vision transformer: ViT-*, CLIPA and CoCa.

    Tokens are normalised by the final LayerNorm, in CLIPA too, which itself
    does so only after pooling (ours); in CoCa, whose LayerNorm is as wide as
    the embedding, they are not. Maps are the patch tokens after four blocks
    that are evenly spaced in depth, before that LayerNorm.
    """

    has_cls = True
    any_size = True
    position_key = 'positional_embedding'

    def __init__(self, visual: nn.Module) -> None:
        self.patch_multiple = max(_pair(visual.patch_size))
        super().__init__(visual)
        depth = len(visual.transformer.resblocks)
        count = min(PLAIN_MAPS, depth)
        self._stages = [(i + 1) * depth // count - 1 for i in range(count)]

    def forward(self, images: Tensor, with_maps: bool) -> Tensors:
        found = self.visual.forward_intermediates(
            images,
            # The last block is the last stage.
            self._stages if with_maps else self._stages[-1:],
            intermediates_only=True,
            output_fmt='NLC',
            output_extra_tokens=True,
        )
        patches = found['image_intermediates']
        # (N, 1, D), (N, h * w, D) -> (N, 1 + h * w, D)
        cls = found['image_intermediates_prefix'][-1]
        features = torch.cat([cls, patches[-1]], dim=1)
        if not with_maps:
            return (features,)
        grid = self._grid((images.shape[2], images.shape[3]))
        # (N, h * w, D) -> (N, D, h, w)
        maps = [x.transpose(1, 2).unflatten(2, grid) for x in patches]
        return (features, *maps)

    def _normalised(self, tokens: Tensor) -> Tensor:
        pools = self.visual.attn_pool is not None
        return tokens if pools else self.visual.ln_post(tokens)

    def tokens(self, consumed: Consumed) -> Tuple[Tensor, Size]:
        tokens = self._normalised(consumed.features[:, 1:])
        return tokens, self._grid(consumed.size)

    def cls(self, consumed: Consumed) -> Tensor:
        return self._normalised(consumed.features[:, 0])

    def pooled(self, consumed: Consumed) -> Tensor:
        return self.visual._pool(consumed.features)[0]

    def projected(self, consumed: Consumed) -> Tensor:
        return self.pooled(consumed) @ self.visual.proj


class ResNetTower(ImageTower):
    """CLIP's residual networks: RN*.

    Their attention pooling projects by itself, so what is pooled without
    projection is the mean over positions, the query of that attention.
    """

    patch_multiple = 32
    position_key = 'attnpool.positional_embedding'

    def forward(self, images: Tensor, with_maps: bool) -> Tensors:
        # Without the stem.
        maps = self.visual.forward_intermediates(
            images, [1, 2, 3, 4], intermediates_only=True
        )['image_intermediates']
        return (maps[-1], *maps) if with_maps else (maps[-1],)

    def tokens(self, consumed: Consumed) -> Tuple[Tensor, Size]:
        x = consumed.features
        # (N, D, h, w) -> (N, h * w, D)
        return x.flatten(2).transpose(1, 2), (x.shape[2], x.shape[3])

    def pooled(self, consumed: Consumed) -> Tensor:
        return consumed.features.mean((2, 3))

    def projected(self, consumed: Consumed) -> Tensor:
        return self.visual.attnpool(consumed.features)


class TimmTower(ImageTower):
    """A timm network: SigLIP, EVA02, PE, ConvNeXt, MobileCLIP, ViTamin ...

    Tokens and maps are those of :class:`TimmTeacher`: open_clip's own
    intermediates leave the normalisation of the last tokens out.
    """

    def __init__(self, visual: nn.Module) -> None:
        trunk = visual.trunk
        embed = getattr(trunk, 'patch_embed', None)
        if hasattr(embed, 'feat_ratio'):
            self.patch_multiple = embed.feat_ratio()
        super().__init__(visual)
        self.has_cls = getattr(trunk, 'cls_token', None) is not None
        self.has_maps = hasattr(trunk, 'forward_intermediates')
        self.any_size = not trunk.pretrained_cfg.get('fixed_input_size')
        self._stages = choose_maps(trunk, None)

    def forward(self, images: Tensor, with_maps: bool) -> Tensors:
        trunk = self.visual.trunk
        if not with_maps:
            return (trunk.forward_features(images),)
        x, maps = trunk.forward_intermediates(images, self._stages)
        # Where all are taken, older timm puts a stem before the stages.
        return (x, *maps[-len(reductions(trunk)) :])

    def tokens(self, consumed: Consumed) -> Tuple[Tensor, Size]:
        read = read_tokens(self.visual.trunk, consumed.features, consumed.size)
        return read.patches, read.grid

    def cls(self, consumed: Consumed) -> Tensor:
        trunk = self.visual.trunk
        return read_tokens(trunk, consumed.features, consumed.size).cls

    def pooled(self, consumed: Consumed) -> Tensor:
        # An attention pooling of open_clip's own is in the head.
        if hasattr(self.visual.head, 'pool'):
            return self.patches(consumed)
        trunk = self.visual.trunk
        return trunk.forward_head(consumed.features, pre_logits=True)

    def projected(self, consumed: Consumed) -> Tensor:
        trunk = self.visual.trunk
        return self.visual.head(trunk.forward_head(consumed.features))

    def resize(self, size: Size) -> None:
        trunk = self.visual.trunk
        embed = getattr(trunk, 'patch_embed', None)
        built_for = getattr(embed, 'img_size', None)
        if self.any_size or built_for is None or tuple(built_for) == size:
            return
        if not hasattr(trunk, 'set_input_size'):
            raise UserError(
                f'teacher: input_size: expected {tuple(built_for)}, the only '
                f'one for a {type(trunk).__name__} in this version of timm, '
                f'got {size}.'
            )
        print_log(f'{RESIZED} {built_for} to {size} pixels.', 'current')
        trunk.set_input_size(img_size=size)


def image_tower(visual: nn.Module) -> ImageTower:
    """Returns the tower around ``model.visual`` of an open_clip model."""
    if isinstance(visual, TimmModel):
        return TimmTower(visual)
    if isinstance(visual, ModifiedResNet):
        return ResNetTower(visual)
    return ViTTower(visual)


def _pair(size: Union[int, Sequence[int]]) -> Size:
    return (size, size) if isinstance(size, int) else tuple(size)
