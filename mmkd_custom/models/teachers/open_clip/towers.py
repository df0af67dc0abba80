"""The image towers of open_clip, and which tensor of each is which."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Optional, Sequence, Tuple, Union

import torch
import torch.nn as nn
import torch.nn.functional as F
from mmengine.logging import print_log
from open_clip.modified_resnet import ModifiedResNet
from open_clip.timm_model import TimmModel

from ....errors import UserError
from ..timm.features import PLAIN_MAPS, choose_maps, read_tokens, reductions

Size = Tuple[int, int]

#: Pixels that are enough for the dry run of any network of free input size.
DRY_RUN_SIZE = 128


@dataclass
class Consumed:
    """What the pooling of an image tower consumes, of N images.

    Attributes:
        features (Tensor): (N, prefix + L, D_p), (N, D_p, h, w) or (N, h, w,
            D_p).
        size (tuple[int, int]): Height and width of the images in pixels.
        maps (tuple[Tensor], optional): A map (N, C_i, h_i, w_i) a stage.
    """

    features: torch.Tensor
    size: Size
    maps: Optional[Tuple[torch.Tensor, ...]] = None


class ImageTower(nn.Module):
    """An image tower of open_clip in steps, so that only some may be taken.

    Args:
        visual (nn.Module): ``model.visual`` of an open_clip model.

    Attributes:
        has_cls (bool): Whether it has a class token.
        has_maps (bool): Whether it gives maps.
        any_size (bool): Whether, once built, it takes images of any size.
        patch_multiple (int): Height and width must be multiples of it.
        position_key (str): Name of the position embeddings in the state dict
            of ``visual``, where they may be of another size.
    """

    has_cls: bool = False
    has_maps: bool = True
    any_size: bool = False
    patch_multiple: int = 1
    position_key: str = ''

    def __init__(self, visual: nn.Module) -> None:
        super().__init__()
        self.visual = visual

    @property
    def size(self) -> Size:
        """tuple[int, int]: Height and width it was configured for."""
        return _pair(self.visual.image_size)

    @property
    def least_size(self) -> Size:
        """tuple[int, int]: A small size for a dry run, if any size goes."""
        step = self.patch_multiple
        edge = 2 * step if step > 1 else DRY_RUN_SIZE
        return edge, edge

    def consume(self, images: torch.Tensor, with_maps: bool) -> Consumed:
        """Runs the tower up to its pooling.

        Args:
            images (Tensor): (N, 3, H, W), normalised.
            with_maps (bool): Whether maps are kept.

        Returns:
            Consumed: What the other methods take.
        """
        raise NotImplementedError

    def tokens(self, consumed: Consumed) -> Tuple[torch.Tensor, Size]:
        """Gives patch tokens (N, L, D_p) and their grid (h, w)."""
        raise NotImplementedError

    def cls(self, consumed: Consumed) -> torch.Tensor:
        """Gives the class token (N, D_p) of a tower that has one."""
        raise NotImplementedError

    def patches(self, consumed: Consumed) -> torch.Tensor:
        """Gives the mean (N, D_p) of the patch tokens."""
        return self.tokens(consumed)[0].mean(1)

    def pooled(self, consumed: Consumed) -> torch.Tensor:
        """Gives the vector (N, D_p) that the projection consumes."""
        raise NotImplementedError

    def projected(self, consumed: Consumed) -> torch.Tensor:
        """Gives the image embedding (N, D), as ``encode_image`` does."""
        raise NotImplementedError

    def expect(self, positions: Optional[torch.Tensor]) -> None:
        """Makes room for position embeddings of another image size.

        Args:
            positions (Tensor, optional): As a checkpoint holds them under
                ``position_key``.
        """

    def resize(self, size: Size) -> None:
        """Interpolates position embeddings, once, for one input size.

        Args:
            size (tuple[int, int]): Height and width in pixels.

        Raises:
            UserError: If the tower cannot change its size.
        """
        raise NotImplementedError


class _PositionedTower(ImageTower):
    """A tower with one embedding (1 + h * w, D), its first for no patch."""

    def __init__(self, visual: nn.Module) -> None:
        super().__init__(visual)
        self.grid = self._grid(self.size)

    @property
    def _owner(self) -> nn.Module:
        return self.visual

    def _grid(self, size: Size) -> Size:
        step = self.patch_multiple
        return size[0] // step, size[1] // step

    def _positions(self, grid: Size) -> torch.Tensor:
        positions = self._owner.positional_embedding
        if grid == self.grid:
            return positions
        return interpolate_positions(positions, self.grid, grid)

    def expect(self, positions: Optional[torch.Tensor]) -> None:
        own = self._owner.positional_embedding
        if positions is None or positions.ndim != 2:
            return
        edge = round((len(positions) - 1) ** 0.5)
        if len(positions) == len(own) or edge**2 + 1 != len(positions):
            return
        # Of its own width: that of another one is for loading to refuse.
        self._set(own.new_zeros(len(positions), own.shape[1]), (edge, edge))

    def resize(self, size: Size) -> None:
        grid = self._grid(size)
        if grid != self.grid:
            _tell_of_interpolation(f'{self.grid} to {grid} patches')
            self._set(self._positions(grid).detach(), grid)

    def _set(self, positions: torch.Tensor, grid: Size) -> None:
        self._owner.positional_embedding = nn.Parameter(positions)
        self.grid = grid


class ViTTower(_PositionedTower):
    """open_clip's own vision transformer: ViT-*, CLIPA and CoCa.

    Tokens are normalised by the final LayerNorm, in CLIPA too, which itself
    does so only after pooling [ours]; in CoCa, whose LayerNorm is as wide as
    the embedding, they are not. Maps are the patch tokens after four blocks
    that are evenly spaced in depth, before that LayerNorm.
    """

    has_cls = True
    any_size = True
    position_key = 'positional_embedding'

    def __init__(self, visual: nn.Module) -> None:
        if getattr(visual, 'attn_pool_contrastive', None) is not None:
            raise UserError(
                'teacher: attentional_pool='
                f'{visual.attn_pool_type!r} of the image tower is not '
                'known here, but true or false is.'
            )
        self.patch_multiple = max(_pair(visual.patch_size))
        super().__init__(visual)
        depth = len(visual.transformer.resblocks)
        count = min(PLAIN_MAPS, depth)
        self._stages = [(i + 1) * depth // count - 1 for i in range(count)]
        # Old versions of open_clip transpose outside of the transformer.
        self._batch_first = getattr(visual.transformer, 'batch_first', False)
        self._pools_first = (
            visual.attn_pool is not None or visual.final_ln_after_pool
        )

    def consume(self, images: torch.Tensor, with_maps: bool) -> Consumed:
        visual = self.visual
        x = visual.conv1(images)
        grid = (x.shape[2], x.shape[3])
        # (N, D, h, w) -> (N, h * w, D) -> (N, 1 + h * w, D)
        x = x.flatten(2).transpose(1, 2)
        cls = visual.class_embedding.expand(len(x), 1, -1)
        x = torch.cat([cls, x], dim=1) + self._positions(grid)
        x = self._turn(visual.ln_pre(x))
        maps = []
        for index, block in enumerate(visual.transformer.resblocks):
            x = block(x)
            if with_maps and index in self._stages:
                # (N, 1 + h * w, D) -> (N, D, h, w)
                patches = self._turn(x)[:, 1:]
                maps.append(patches.transpose(1, 2).unflatten(2, grid))
        x = self._turn(x)
        if not self._pools_first:
            x = visual.ln_post(x)
        size = (images.shape[2], images.shape[3])
        return Consumed(x, size, tuple(maps) if with_maps else None)

    def _turn(self, x: torch.Tensor) -> torch.Tensor:
        return x if self._batch_first else x.transpose(0, 1)

    def _normalised(self, tokens: torch.Tensor) -> torch.Tensor:
        if self._pools_first and self.visual.attn_pool is None:
            return self.visual.ln_post(tokens)
        return tokens

    def tokens(self, consumed: Consumed) -> Tuple[torch.Tensor, Size]:
        tokens = self._normalised(consumed.features[:, 1:])
        return tokens, self._grid(consumed.size)

    def cls(self, consumed: Consumed) -> torch.Tensor:
        return self._normalised(consumed.features[:, 0])

    def pooled(self, consumed: Consumed) -> torch.Tensor:
        visual, x = self.visual, consumed.features
        if visual.attn_pool is not None:
            return visual._global_pool(visual.ln_post(visual.attn_pool(x)))[0]
        return self._normalised(visual._global_pool(x)[0])

    def projected(self, consumed: Consumed) -> torch.Tensor:
        return self.pooled(consumed) @ self.visual.proj


class ResNetTower(_PositionedTower):
    """CLIP's residual networks: RN*.

    Their attention pooling projects by itself, so what is pooled without
    projection is the mean over positions, the query of that attention.
    """

    patch_multiple = 32
    position_key = 'attnpool.positional_embedding'

    @property
    def _owner(self) -> nn.Module:
        return self.visual.attnpool

    def consume(self, images: torch.Tensor, with_maps: bool) -> Consumed:
        x = self.visual.stem(images)
        maps = []
        for number in (1, 2, 3, 4):
            x = getattr(self.visual, f'layer{number}')(x)
            maps.append(x)
        size = (images.shape[2], images.shape[3])
        return Consumed(x, size, tuple(maps) if with_maps else None)

    def tokens(self, consumed: Consumed) -> Tuple[torch.Tensor, Size]:
        x = consumed.features
        # (N, D, h, w) -> (N, h * w, D)
        return x.flatten(2).transpose(1, 2), (x.shape[2], x.shape[3])

    def pooled(self, consumed: Consumed) -> torch.Tensor:
        return consumed.features.mean((2, 3))

    def projected(self, consumed: Consumed) -> torch.Tensor:
        return self.visual.attnpool(consumed.features)


class TimmTower(ImageTower):
    """A timm network: SigLIP, EVA02, PE, ConvNeXt, MobileCLIP, ViTamin ...

    Tokens and maps are those of :class:`TimmTeacher`.
    """

    def __init__(self, visual: nn.Module) -> None:
        super().__init__(visual)
        trunk = visual.trunk
        self.has_cls = getattr(trunk, 'cls_token', None) is not None
        self.has_maps = hasattr(trunk, 'forward_intermediates')
        self.any_size = not trunk.pretrained_cfg.get('fixed_input_size')
        self._stages = choose_maps(trunk, None)
        embed = getattr(trunk, 'patch_embed', None)
        if hasattr(embed, 'feat_ratio'):
            self.patch_multiple = embed.feat_ratio()

    def consume(self, images: torch.Tensor, with_maps: bool) -> Consumed:
        trunk, size = self.visual.trunk, (images.shape[2], images.shape[3])
        if not with_maps:
            return Consumed(trunk.forward_features(images), size)
        x, maps = trunk.forward_intermediates(images, self._stages)
        # Where all are taken, older timm puts a stem before the stages.
        return Consumed(x, size, tuple(maps[-len(reductions(trunk)) :]))

    def tokens(self, consumed: Consumed) -> Tuple[torch.Tensor, Size]:
        read = read_tokens(self.visual.trunk, consumed.features, consumed.size)
        return read.patches, read.grid

    def cls(self, consumed: Consumed) -> torch.Tensor:
        return read_tokens(
            self.visual.trunk, consumed.features, consumed.size
        ).cls

    def pooled(self, consumed: Consumed) -> torch.Tensor:
        # An attention pooling of open_clip's own is in the head.
        if hasattr(self.visual.head, 'pool'):
            return self.patches(consumed)
        return self.visual.trunk.forward_head(
            consumed.features, pre_logits=True
        )

    def projected(self, consumed: Consumed) -> torch.Tensor:
        return self.visual.head(
            self.visual.trunk.forward_head(consumed.features)
        )

    def resize(self, size: Size) -> None:
        trunk = self.visual.trunk
        embed = getattr(trunk, 'patch_embed', None)
        built_for = getattr(embed, 'img_size', None)
        if self.any_size or built_for is None or tuple(built_for) == size:
            return
        if not hasattr(trunk, 'set_input_size'):
            raise UserError(
                f'teacher: input_size={size}, but with this version of timm '
                f'a {type(trunk).__name__} takes images of {built_for} '
                'pixels only.'
            )
        _tell_of_interpolation(f'those for {built_for} to {size} pixels')
        trunk.set_input_size(img_size=size)


def image_tower(visual: nn.Module) -> ImageTower:
    """Wraps the image tower of an open_clip model.

    Args:
        visual (nn.Module): ``model.visual``.

    Returns:
        ImageTower: Of the kind that fits.
    """
    if isinstance(visual, TimmModel):
        return TimmTower(visual)
    if isinstance(visual, ModifiedResNet):
        return ResNetTower(visual)
    return ViTTower(visual)


def interpolate_positions(
    positions: torch.Tensor, grid: Size, new_grid: Size
) -> torch.Tensor:
    """Interpolates position embeddings, bicubically and antialiased.

    The same as open_clip's ``resize_pos_embed``, but always in float32.

    Args:
        positions (Tensor): (1 + h * w, D); the first belongs to no patch and
            stays.
        grid (tuple[int, int]): (h, w).
        new_grid (tuple[int, int]): (h', w').

    Returns:
        Tensor: (1 + h' * w', D).
    """
    first, rest = positions[:1], positions[1:]
    # (h * w, D) -> (1, D, h, w)
    rest = rest.float().t().unflatten(1, grid)[None]
    rest = F.interpolate(rest, new_grid, mode='bicubic', antialias=True)
    return torch.cat([first, rest[0].flatten(1).t().to(first.dtype)])


def _tell_of_interpolation(what: str) -> None:
    print_log(
        f'teacher: position embeddings are interpolated from {what}.',
        logger='current',
    )


def _pair(size: Union[int, Sequence[int]]) -> Size:
    return (size, size) if isinstance(size, int) else tuple(size)
