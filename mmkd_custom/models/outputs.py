"""What any network says of images, and what shape that has."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, fields
from typing import Any, Callable, Dict, NamedTuple, Optional, Sequence, Tuple

import torch

from ..errors import UserError

FEATURE, LOGITS, TOKENS, MAPS = 'feature', 'logits', 'tokens', 'maps'

#: Every output that has a name of its own; others are ``more.<name>``.
OUTPUTS = (FEATURE, LOGITS, TOKENS, MAPS)

#: Logarithms of probabilities, up to a constant: mixed as the probabilities.
LOG_DOMAIN = (LOGITS, 'more.probe')


class Shape(NamedTuple):
    """The shape of one output for one image.

    Attributes:
        sizes (tuple[int]): ``(D,)`` of a vector, ``(L, D)`` of tokens,
            ``(C, h, w)`` of a map, ``()`` of an index.
        grid (tuple[int, int], optional): (h, w) of tokens, h * w = L.
        classes (int, optional): Number of values of an index.
    """

    sizes: Tuple[int, ...]
    grid: Optional[Tuple[int, int]] = None
    classes: Optional[int] = None

    @property
    def kind(self) -> str:
        """str: 'index', 'vector', 'tokens', 'map', or 'array' of more."""
        kinds = ('index', 'vector', 'tokens', 'map')
        return kinds[len(self.sizes)] if len(self.sizes) < 4 else 'array'

    @property
    def width(self) -> int:
        """int: Number of channels."""
        return self.sizes[0 if len(self.sizes) == 3 else -1]

    @property
    def positions(self) -> int:
        """int: Number of tokens, or of positions of a map; 0 of others."""
        places = dict(tokens=self.sizes[:1], map=self.sizes[1:])
        return math.prod(places.get(self.kind, (0,)))

    def __str__(self) -> str:
        return f'{self.kind} {self.sizes}'


@dataclass
class Outputs:
    """What a network says of N images; None where it was not asked.

    Nothing in it is L2-normalised unless the network says so.

    Attributes:
        feature (Tensor, optional): (N, D): one vector an image.
        logits (Tensor, optional): (N, C).
        tokens (Tensor, optional): Patch tokens (N, L, D_p), row by row of the
            ``grid``; neither class nor register tokens.
        grid (tuple[int, int], optional): (h, w) with h * w = L.
        maps (tuple[Tensor], optional): A map (N, C_i, h_i, w_i) a stage, the
            last one last.
        more (dict[str, Tensor]): Anything else, by name: a second head, an
            attention, a customized feature.
    """

    feature: Optional[torch.Tensor] = None
    logits: Optional[torch.Tensor] = None
    tokens: Optional[torch.Tensor] = None
    grid: Optional[Tuple[int, int]] = None
    maps: Optional[Tuple[torch.Tensor, ...]] = None
    more: Dict[str, torch.Tensor] = field(default_factory=dict)

    def get(self, path: str) -> torch.Tensor:
        """Returns one output.

        Args:
            path (str): ``feature``, ``logits``, ``tokens``, ``maps.<index>``
                (from 0, or negative from the end) or ``more.<name>``.

        Returns:
            Tensor: With N first.

        Raises:
            UserError: If there is no such output; lists what there is.
        """
        name, _, rest = path.partition('.')
        try:
            if name == MAPS:
                return self.maps[int(rest)]
            found = self.more[rest] if rest else getattr(self, name)
            if torch.is_tensor(found):
                return found
        except (AttributeError, IndexError, KeyError, TypeError, ValueError):
            pass
        raise UserError(
            f'expected an output out of {", ".join(self.named_tensors())}, '
            f'got {path!r}.'
        )

    def map(self, function: Callable[[torch.Tensor], torch.Tensor]) -> Outputs:
        """Applies a function to every tensor.

        Args:
            function (Callable): Tensor to tensor.

        Returns:
            Outputs: With the same fields set.
        """
        return from_named(
            {k: function(v) for k, v in self.named_tensors().items()},
            self.grid,
        )

    def named_tensors(self) -> Dict[str, torch.Tensor]:
        """Returns every tensor by its path, see :meth:`get`."""
        named: Dict[str, torch.Tensor] = {}
        for item in fields(self):
            value = getattr(self, item.name)
            if torch.is_tensor(value):
                named[item.name] = value
            elif item.name == MAPS and value is not None:
                named.update({f'{MAPS}.{i}': m for i, m in enumerate(value)})
        return {**named, **{f'more.{k}': v for k, v in self.more.items()}}

    def shapes(self) -> Dict[str, Shape]:
        """Returns the shape of every output for one image, by path."""
        return {
            path: Shape(
                tuple(value.shape[1:]), self.grid if path == TOKENS else None
            )
            for path, value in self.named_tensors().items()
        }


def concatenate(outputs: Sequence[Outputs]) -> Outputs:
    """Joins what was said of the parts of a batch.

    Args:
        outputs (Sequence[Outputs]): At least one, with the same fields set
            and the same grid.

    Returns:
        Outputs: Of all images, in order.
    """
    if len(outputs) == 1:
        return outputs[0]
    named = [output.named_tensors() for output in outputs]
    return from_named(
        {k: torch.cat([each[k] for each in named]) for k in named[0]},
        outputs[0].grid,
    )


def from_named(
    named: Dict[str, torch.Tensor], grid: Optional[Tuple[int, int]] = None
) -> Outputs:
    """Puts tensors together again, the reverse of ``named_tensors``.

    Args:
        named (dict[str, Tensor]): By path; maps in order.
        grid (tuple[int, int], optional): Of the tokens. Defaults to None.

    Returns:
        Outputs: With these fields set.
    """
    given: Dict[str, Any] = dict(grid=grid, more={})
    for path, value in named.items():
        name, _, rest = path.partition('.')
        if name == MAPS:
            given[MAPS] = (*given.get(MAPS, ()), value)
        elif rest:
            given['more'][rest] = value
        else:
            given[name] = value
    return Outputs(**given)
