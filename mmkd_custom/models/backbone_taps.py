"""What one pass of an MMPretrain backbone gives beside its output."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, Dict, Iterator, List, Optional, Sequence, Tuple

import torch
import torch.nn as nn
from mmpretrain.models.backbones import MlpMixer

from ..errors import UserError
from .outputs import MAPS, TOKENS

#: Where MMPretrain's backbones keep their stages or blocks, in the order in
#: which they are looked for: modules, or their names.
_STAGES = 'res_layers stages layers encoder xca_layers network blocks features'

#: How many blocks of a plain transformer give maps.
_TRANSFORMER_MAPS = 4

Grid = Tuple[int, int]


@dataclass
class BackboneOutput:
    """What one pass of a backbone gave."""

    outputs: Any = None  # what it returned, for neck and head
    cls: Optional[torch.Tensor] = None  # (N, D_p), normalised
    tokens: Optional[torch.Tensor] = None  # (N, L, D_p), normalised
    grid: Optional[Grid] = None  # (h, w) with h * w = L
    maps: Optional[Tuple[torch.Tensor, ...]] = None  # (N, C_i, h_i, w_i)


class BackboneTaps:
    """Listens to a backbone whose output stays what its head wants.

    A *plain transformer* (ViT, DeiT, DeiT III, BEiT, EVA-02, MoCo v3, T2T,
    XCiT, RevViT) keeps all its tokens at one resolution. Its tokens are those
    that its output is taken from, after the final normalisation where the
    model has one. Its maps are what four evenly spaced blocks give, before
    it. An MLP-Mixer is like one: its tokens are its output.

    Of every *other* backbone each stage gives a map; where several in a row
    have one resolution, the last of them does. Backbones whose stages give no
    maps (HRNet, LeViT, Twins, VAN, ViT-SAM) give those among their own
    outputs. The tokens are the last map of the output, row by row, or that of
    the last stage if the output is no map.

    A deep copy of the backbone has taps of its own; the copy of whatever
    holds both listens to the copied backbone.

    Args:
        backbone (nn.Module): In training or evaluation.
        size (tuple[int, int]): Height and width in pixels of the black image
            of one dry run, which draws no random number and changes nothing.
        name (str): What errors call the model, such as 'student'.
        map_indices (Sequence[int], optional): Which stages or blocks give
            maps, counted from 0; negative ones from the end. None chooses as
            above. Defaults to None.

    Attributes:
        is_transformer (bool): Whether it is a plain transformer.
        has_cls (bool): Whether it has a class token.

    Raises:
        UserError: If an index names no stage, or one that gives no map, or
            the backbone cannot run on an image of this size.
    """

    def __init__(
        self,
        backbone: nn.Module,
        size: Tuple[int, int],
        name: str,
        map_indices: Optional[Sequence[int]] = None,
    ) -> None:
        self._backbone = backbone
        self._listening = False
        self._final: Optional[Tuple[torch.Tensor, Grid]] = None
        self._stages: Dict[int, Any] = {}
        self._seen = BackboneOutput()
        self.is_transformer = is_plain_transformer(backbone)
        self.has_cls = self.is_transformer and backbone.cls_token is not None
        # All blocks of a Mixer have the grid that it was built for.
        mixer = isinstance(backbone, MlpMixer)
        self._grid = tuple(backbone.patch_resolution) if mixer else None
        # All for good: a compiled pass does not see hooks that come and go.
        # And bound methods, which a deep copy binds to the copied taps.
        if self.is_transformer:
            self._format_output = backbone._format_output
            backbone._format_output = self._listen_to_tokens
        stages = _stages(backbone)
        self._indices: Sequence[int] = range(len(stages))
        for index, stage in enumerate(stages):
            stage.register_forward_hook(partial(self._record, index))
        maps = self._dry_run(size, name)
        plain = self.is_transformer or mixer
        self._indices = _choose(maps, plain, name, map_indices)
        backbone.register_forward_hook(self._finish)

    def __call__(
        self, inputs: torch.Tensor, wants: Sequence[str]
    ) -> BackboneOutput:
        """Runs the backbone once; keeps what of 'cls', 'tokens' and 'maps'
        there is if any of them is wanted."""
        self._seen = seen = BackboneOutput()
        self._listening = any(n in wants for n in ('cls', TOKENS, MAPS))
        seen.outputs = self._backbone(inputs)
        self._listening = False
        self._seen = BackboneOutput()
        return seen

    @contextmanager
    def listen(self) -> Iterator[BackboneOutput]:
        """Listens while the model around the backbone runs.

        Yields:
            BackboneOutput: Filled as soon as the backbone has run; of several
            passes the last one counts.
        """
        self._seen = seen = BackboneOutput()
        self._listening = True
        try:
            yield seen
        finally:
            self._listening = False
            self._seen = BackboneOutput()

    def _listen_to_tokens(
        self, tokens: torch.Tensor, grid: Grid, *args: Any
    ) -> Any:
        if self._listening:
            self._final = (tokens, (int(grid[0]), int(grid[1])))
        return self._format_output(tokens, grid, *args)

    def _record(
        self, index: int, _module: nn.Module, _args: Any, output: Any
    ) -> None:
        if self._listening and index in self._indices:
            self._stages[index] = output

    def _finish(self, _module: nn.Module, _args: Any, outputs: Any) -> None:
        if not self._listening:
            return
        seen, final = self._seen, self._final
        seen.outputs = outputs
        maps = self._taken_maps() or _own_maps(outputs)
        seen.maps = tuple(maps) or None
        if self._grid is not None:
            # (N, D, L) -> (N, L, D)
            seen.tokens, seen.grid = outputs[-1].transpose(1, 2), self._grid
        elif final is None:
            seen.tokens, seen.grid = _rows(outputs, seen.maps)
        else:
            both, seen.grid = final
            seen.cls = both[:, 0] if self.has_cls else None
            seen.tokens = _patches(both, seen.grid)

    def _dry_run(
        self, size: Tuple[int, int], name: str
    ) -> List[Optional[torch.Tensor]]:
        """Returns the map of each stage; None for one that gives none."""
        backbone = self._backbone
        modes = [(module, module.training) for module in backbone.modules()]
        backbone.eval()
        self._listening = True
        try:
            like = next(backbone.parameters(), torch.zeros(()))
            with torch.no_grad():
                backbone(like.new_zeros(1, 3, *size))
        except (AssertionError, RuntimeError, ValueError) as error:
            raise UserError(
                f'{name}: does not run on images of {size[0]} x {size[1]} '
                f'pixels ({error}); give input_size=<what it was trained '
                'with>.'
            ) from error
        finally:
            self._listening = False
            for module, mode in modes:
                module.training = mode
        return self._taken_maps()

    def _taken_maps(self) -> List[Optional[torch.Tensor]]:
        """Returns what the stages gave, and forgets it and the tokens."""
        grid = self._grid if self._final is None else self._final[1]
        maps = [_as_map(self._stages.get(i), grid) for i in self._indices]
        self._final = None
        self._stages.clear()
        return maps


def is_plain_transformer(backbone: nn.Module) -> bool:
    """Whether a backbone makes its output of tokens and their grid."""
    return hasattr(backbone, '_format_output') and hasattr(
        backbone, 'cls_token'
    )


def _choose(
    maps: List[Optional[torch.Tensor]],
    is_plain: bool,
    name: str,
    indices: Optional[Sequence[int]],
) -> List[int]:
    known = [i for i, found in enumerate(maps) if found is not None]
    if indices is not None:
        # A number alone names nothing.
        given = () if isinstance(indices, int) else tuple(indices)
        names = {i - n: i for i in known for n in (0, len(maps))}
        if not given or any(i not in names for i in given):
            raise UserError(
                f'{name}: expected map_indices out of its stages {known} that '
                f'give maps, got {indices!r}.'
            )
        return sorted({names[i] for i in given})
    if len(known) < len(maps):
        return []
    if is_plain:
        count = min(_TRANSFORMER_MAPS, len(maps))
        return [(i + 1) * len(maps) // count - 1 for i in range(count)]
    sizes = [found.shape[-2:] for found in maps]
    return [i for i in known if sizes[i] not in sizes[i + 1 :]]


def _stages(backbone: nn.Module) -> List[nn.Module]:
    if hasattr(backbone, '_format_output') and not hasattr(
        backbone, 'cls_token'
    ):
        # ViT-SAM, whose blocks give (N, h, w, C): nothing tells it from a map.
        return []
    for name in _STAGES.split():
        found = getattr(backbone, name, None)
        if isinstance(found, (nn.ModuleList, nn.Sequential)):
            return list(found)
        if (
            isinstance(found, (list, tuple))
            and found
            and all(isinstance(item, str) for item in found)
        ):
            return [getattr(backbone, item) for item in found]
    return []


def _as_map(output: Any, grid: Optional[Grid]) -> Optional[torch.Tensor]:
    """Takes what a stage returned to (N, C, h, w), if it is a map."""
    if isinstance(output, tuple) and len(output) == 2:
        output, grid = output
        if not isinstance(grid, (tuple, list)):
            return None
    if not torch.is_tensor(output):
        return None
    if output.ndim == 3 and grid is not None:
        patches = _patches(output, grid)
        # (N, L, C) -> (N, C, L) -> (N, C, h, w)
        return patches.transpose(1, 2).unflatten(2, tuple(grid))
    return output if output.ndim == 4 else None


def _patches(tokens: torch.Tensor, grid: Grid) -> torch.Tensor:
    # Class and distillation tokens come first, and some blocks have none:
    # (N, P + L, C) -> (N, L, C)
    return tokens[:, tokens.shape[1] - grid[0] * grid[1] :]


def _own_maps(outputs: Any) -> List[torch.Tensor]:
    parts = outputs if isinstance(outputs, (list, tuple)) else [outputs]
    return [p for p in parts if torch.is_tensor(p) and p.ndim == 4]


def _rows(
    outputs: Any, maps: Optional[Tuple[torch.Tensor, ...]]
) -> Tuple[Optional[torch.Tensor], Optional[Grid]]:
    found = _own_maps(outputs) or list(maps or ())
    if not found:
        return None, None
    height, width = found[-1].shape[-2:]
    # (N, C, h, w) -> (N, h * w, C)
    return found[-1].flatten(2).transpose(1, 2), (height, width)
