"""What a teacher says about images, and what can be asked of it."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, Callable, Dict, List, Optional, Sequence, Tuple

import torch

FEATURE, LOGITS, TOKENS, MAPS = 'feature', 'logits', 'tokens', 'maps'

#: Everything a teacher may be asked for.
OUTPUTS = (FEATURE, LOGITS, TOKENS, MAPS)


@dataclass
class TeacherOutput:
    """What a teacher says about N images; None where it was not asked.

    Nothing in it is L2-normalised unless the teacher says so.

    Attributes:
        feature (Tensor, optional): f_t (N, D): one vector an image.
        logits (Tensor, optional): z_t (N, C).
        tokens (Tensor, optional): Patch tokens (N, L, D_p), row by row of the
            ``grid``; neither class nor register tokens.
        grid (tuple[int, int], optional): (h, w) with h * w = L.
        maps (tuple[Tensor], optional): A map (N, C_i, h_i, w_i) a stage, the
            last one last.
    """

    feature: Optional[torch.Tensor] = None
    logits: Optional[torch.Tensor] = None
    tokens: Optional[torch.Tensor] = None
    grid: Optional[Tuple[int, int]] = None
    maps: Optional[Tuple[torch.Tensor, ...]] = None

    def map(
        self, function: Callable[[torch.Tensor], torch.Tensor]
    ) -> TeacherOutput:
        """Applies a function to every tensor there is.

        Args:
            function (Callable): Tensor to tensor.

        Returns:
            TeacherOutput: With the same fields set.
        """
        return TeacherOutput(
            **{name: _map(value, function) for name, value in self._set()}
        )

    def named_tensors(self) -> Dict[str, torch.Tensor]:
        """Gives every tensor by name; maps are ``maps.0``, ``maps.1`` …"""
        named: Dict[str, torch.Tensor] = {}
        for name, value in self._set():
            if torch.is_tensor(value):
                named[name] = value
            elif name == MAPS:
                named.update({f'{name}.{i}': m for i, m in enumerate(value)})
        return named

    def _set(self) -> List[Tuple[str, Any]]:
        named = [(f.name, getattr(self, f.name)) for f in fields(self)]
        return [(name, value) for name, value in named if value is not None]


def concatenate(outputs: Sequence[TeacherOutput]) -> TeacherOutput:
    """Joins what was said about the parts of a batch.

    Args:
        outputs (Sequence[TeacherOutput]): At least one, with the same fields
            set and the same grid.

    Returns:
        TeacherOutput: About all images, in order.
    """
    if len(outputs) == 1:
        return outputs[0]
    joined: Dict[str, Any] = {}
    for name, first in outputs[0]._set():
        values = [getattr(output, name) for output in outputs]
        if torch.is_tensor(first):
            joined[name] = torch.cat(values)
        elif name == MAPS:
            joined[name] = tuple(torch.cat(stage) for stage in zip(*values))
        else:
            joined[name] = first
    return TeacherOutput(**joined)


def _map(value: Any, function: Callable) -> Any:
    if torch.is_tensor(value):
        return function(value)
    if isinstance(value, tuple) and all(map(torch.is_tensor, value)):
        return tuple(function(tensor) for tensor in value)
    return value
