"""What one pass of an MMPretrain backbone gives beside its output."""

from __future__ import annotations

from typing import Any, Dict, List, NamedTuple, Optional, Sequence, Tuple

import torch
import torch.nn as nn

from ..errors import UserError
from .outputs import MAPS, TOKENS
from .taps import record_outputs

#: Where MMPretrain's backbones keep their stages or blocks, in the order in
#: which they are looked for: modules, or their names.
_STAGES = (
    'res_layers',
    'stages',
    'layers',
    'encoder',
    'xca_layers',
    'network',
    'blocks',
    'features',
)

#: How many blocks of a plain transformer give maps.
_TRANSFORMER_MAPS = 4

Grid = Tuple[int, int]


class BackboneOutput(NamedTuple):
    """What one pass of a backbone gave.

    Attributes:
        outputs (Any): What the backbone returned, for its neck and head.
        cls (Tensor, optional): Class token (N, D_p), normalised.
        tokens (Tensor, optional): Patch tokens (N, L, D_p), normalised.
        grid (tuple[int, int], optional): (h, w) with h * w = L.
        maps (tuple[Tensor], optional): A map (N, C_i, h_i, w_i) a stage.
    """

    outputs: Any
    cls: Optional[torch.Tensor] = None
    tokens: Optional[torch.Tensor] = None
    grid: Optional[Grid] = None
    maps: Optional[Tuple[torch.Tensor, ...]] = None


class BackboneTaps:
    """Listens to a backbone whose output stays what its head wants.

    A *plain transformer* (ViT, DeiT, DeiT III, BEiT, EVA-02, MoCo v3, T2T,
    XCiT, RevViT) keeps all its tokens at one resolution. Its tokens are those
    that its output is taken from, after the final normalisation where the
    model has one. Its maps are what four evenly spaced blocks give, before
    it.

    Of every *other* backbone each stage gives a map; where several in a row
    have one resolution, the last of them does. Backbones whose stages give no
    maps (HRNet, LeViT, Twins, VAN, ViT-SAM) give those among their own
    outputs. The tokens are the last map of the output, row by row, or that of
    the last stage if the output is no map.

    Args:
        backbone (nn.Module): In ``eval()``, on the CPU.
        size (tuple[int, int]): Height and width in pixels of the black image
            of one dry run, which draws no random number.
        name (str): What errors call the model.
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
        self._final: List[Tuple[torch.Tensor, Grid]] = []
        self._seen: Dict[int, Any] = {}
        self.is_transformer = is_plain_transformer(backbone)
        self.has_cls = self.is_transformer and backbone.cls_token is not None
        if self.is_transformer:
            self._listen_to_tokens()
        stages = _stages(backbone)
        maps = self._dry_run(stages, size, name)
        self._indices = self._choose(maps, name, map_indices)
        # For good: a compiled pass does not see hooks that come and go.
        for index in self._indices:
            stages[index].register_forward_hook(self._recorder(index))

    def __call__(
        self, inputs: torch.Tensor, wants: Sequence[str]
    ) -> BackboneOutput:
        """Runs the backbone once.

        Args:
            inputs (Tensor): What it takes, (N, 3, H, W).
            wants (Sequence[str]): 'cls', 'tokens' and 'maps' are kept if they
                are among them.

        Returns:
            BackboneOutput: Its output, and what of the others there is.
        """
        self._listening = any(n in wants for n in ('cls', TOKENS, MAPS))
        outputs = self._backbone(inputs)
        cls = tokens = grid = maps = None
        if self._listening:
            maps = self._maps(outputs)
            if self._final:
                both, grid = self._final[-1]
                cls = both[:, 0] if self.has_cls else None
                tokens = _patches(both, grid)
            else:
                tokens, grid = _rows(outputs, maps)
        self._final.clear()
        self._seen.clear()
        return BackboneOutput(outputs, cls, tokens, grid, maps)

    def _listen_to_tokens(self) -> None:
        format_output = self._backbone._format_output

        def listen(tokens: torch.Tensor, grid: Grid, *args: Any) -> Any:
            if self._listening:
                self._final.append((tokens, (int(grid[0]), int(grid[1]))))
            return format_output(tokens, grid, *args)

        self._backbone._format_output = listen

    def _recorder(self, index: int):
        def record(_module: nn.Module, _args: Any, output: Any) -> None:
            if self._listening:
                self._seen[index] = output

        return record

    def _dry_run(
        self, stages: List[nn.Module], size: Tuple[int, int], name: str
    ) -> List[Optional[torch.Tensor]]:
        """Gives the map of each stage; None for one that gives none."""
        named = {str(index): stage for index, stage in enumerate(stages)}
        self._listening = True
        try:
            with torch.no_grad(), record_outputs(named) as seen:
                self._backbone(torch.zeros(1, 3, *size))
        except (AssertionError, RuntimeError, ValueError) as error:
            raise UserError(
                f'teacher {name}: does not run on images of {size[0]} x '
                f'{size[1]} pixels ({error}); give input_size=<what it was '
                'trained with>.'
            ) from error
        grid = self._final[-1][1] if self._final else None
        self._final.clear()
        return [_as_map(seen.get(key), grid) for key in named]

    def _choose(
        self,
        maps: List[Optional[torch.Tensor]],
        name: str,
        indices: Optional[Sequence[int]],
    ) -> List[int]:
        known = [i for i, found in enumerate(maps) if found is not None]
        if indices is not None:
            # A number alone names nothing.
            given = () if isinstance(indices, int) else tuple(indices)
            names = {i - n: i for i in known for n in (0, len(maps))}
            wrong = [i for i in given if i not in names]
            if wrong or not given:
                raise UserError(
                    f'teacher {name}: map_indices={indices!r} '
                    f'names {wrong[0] if wrong else "nothing"}, but a list of '
                    f'its stages {known} that give maps is wanted.'
                )
            return sorted({names[i] for i in given})
        if len(known) < len(maps):
            return []
        if self.is_transformer:
            count = min(_TRANSFORMER_MAPS, len(maps))
            return [(i + 1) * len(maps) // count - 1 for i in range(count)]
        sizes = [found.shape[-2:] for found in maps]
        return [i for i in known if sizes[i] not in sizes[i + 1 :]]

    def _maps(self, outputs: Any) -> Optional[Tuple[torch.Tensor, ...]]:
        grid = self._final[-1][1] if self._final else None
        maps = tuple(_as_map(self._seen[i], grid) for i in self._indices)
        return maps or tuple(_own_maps(outputs)) or None


def is_plain_transformer(backbone: nn.Module) -> bool:
    """Says whether a backbone makes its output of tokens and their grid."""
    return hasattr(backbone, '_format_output') and hasattr(
        backbone, 'cls_token'
    )


def _stages(backbone: nn.Module) -> List[nn.Module]:
    if hasattr(backbone, '_format_output') and not hasattr(
        backbone, 'cls_token'
    ):
        # ViT-SAM, whose blocks give (N, h, w, C): nothing tells it from a map.
        return []
    for name in _STAGES:
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
