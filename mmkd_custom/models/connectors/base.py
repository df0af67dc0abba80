"""What every connector promises: two shapes, checked when it is built."""

from __future__ import annotations

from typing import List, Optional, Tuple, Union

from mmengine.model import BaseModule

from ...errors import UserError
from ...registry import MODELS
from ..options import checked_size
from ..outputs import Shape

#: An int is the width of a vector.
AnyShape = Union[Shape, int]


class Connector(BaseModule):
    """From outputs of one shape to another, both known at build time.

    They are checked then, not in every step. A connector knows no loss.

    Args:
        source (Shape | int): What it takes; an int is the width of a vector.
        target (Shape | int): What it is to be compared with.
        init_cfg (dict | list[dict], optional): MMEngine's initialisation.
            Defaults to None.

    Attributes:
        takes (tuple[str]): Kinds of the source.
        gives (tuple[str]): Kinds of the target.
        condition (str): What else :meth:`fits` asks for, for its error.
        sees_target (bool): Whether ``forward`` takes the right side too,
            detached, as its second argument.
        gives_shape (Shape): What it puts out; most often the target.

    Raises:
        UserError: If it does not lead from one to the other; names both.
    """

    takes: Tuple[str, ...] = ('vector', 'tokens')
    gives: Tuple[str, ...] = ('vector', 'tokens')
    condition = 'equal but for the width'
    sees_target = False

    def __init__(
        self,
        source: AnyShape,
        target: AnyShape,
        init_cfg: Optional[Union[dict, List[dict]]] = None,
    ) -> None:
        super().__init__(init_cfg=init_cfg)
        name = type(self).__name__
        self.source = _shape(f'{name}.source', source)
        self.target = _shape(f'{name}.target', target)
        if not self.fits(self.source, self.target):
            raise UserError(
                f'{name}: expected {" or ".join(self.takes)} -> '
                f'{" or ".join(self.gives)}, {self.condition}, got '
                f'{self.source} -> {self.target}.'
            )
        self.gives_shape = self.target

    @classmethod
    def fits(cls, source: Shape, target: Shape) -> bool:
        """Whether connectors of this kind lead from source to target."""
        alike = source.sizes[:-1] == target.sizes[:-1]
        return alike and source.kind in cls.takes and target.kind in cls.gives

    def extra_repr(self) -> str:
        return f'{self.source} -> {self.gives_shape}'


def fitting(source: Shape, target: Shape) -> List[str]:
    """Returns the sorted names of all connectors from source to target."""
    known = (c for c in MODELS.module_dict.values() if isinstance(c, type))
    connectors = {cls for cls in known if issubclass(cls, Connector)}
    return sorted(c.__name__ for c in connectors if c.fits(source, target))


def _shape(option: str, value: AnyShape) -> Shape:
    if isinstance(value, Shape):
        return value
    return Shape((checked_size(option, value),))
