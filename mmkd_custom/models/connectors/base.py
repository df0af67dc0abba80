"""What every connector promises: two shapes, checked when it is built."""

from __future__ import annotations

from typing import List, Optional, Tuple, Union

from mmengine.model import BaseModule

from ...errors import UserError
from ...registry import MODELS
from ..options import checked_size
from ..outputs import Shape

Init = Optional[Union[dict, List[dict]]]


class Connector(BaseModule):
    """From outputs of one shape to another.

    Both shapes are known when a model is built, and checked then, not in
    every step. A connector says what it ``takes`` and ``gives``, narrows
    :meth:`fits` where that is not all, and knows no loss.

    Args:
        source (Shape | int): What it takes; an int is the width of a vector.
        target (Shape | int): What it is to be compared with.
        init_cfg (dict | list[dict], optional): MMEngine's initialisation.
            Defaults to None.

    Attributes:
        takes (tuple[str]): Kinds of shape of the source.
        gives (tuple[str]): Kinds of shape of the target.
        gives_shape (Shape): What it puts out; the target, unless a subclass
            says otherwise.

    Raises:
        UserError: If it does not lead from one to the other.
    """

    takes: Tuple[str, ...] = ('vector',)
    gives: Tuple[str, ...] = ('vector',)

    def __init__(
        self,
        source: Union[Shape, int],
        target: Union[Shape, int],
        init_cfg: Init = None,
    ) -> None:
        super().__init__(init_cfg=init_cfg)
        name = type(self).__name__
        self.source = _shape(f'{name}.source', source)
        self.target = _shape(f'{name}.target', target)
        if not self.fits(self.source, self.target):
            raise UserError(
                f'{name}: expected {self.expects()}, got {self.source} -> '
                f'{self.target}.'
            )
        self.gives_shape = self.target

    @classmethod
    def fits(cls, source: Shape, target: Shape) -> bool:
        """Whether this kind of connector leads from source to target."""
        return source.kind in cls.takes and target.kind in cls.gives

    @classmethod
    def expects(cls) -> str:
        """Returns the shapes that fit, for errors."""
        return f'{" or ".join(cls.takes)} -> {" or ".join(cls.gives)}'

    def extra_repr(self) -> str:
        return f'{self.source} -> {self.gives_shape}'


def fitting(source: Shape, target: Shape) -> List[str]:
    """Returns the names of the registered connectors from source to target.

    Args:
        source (Shape): What is to be connected.
        target (Shape): With what it is to be compared.

    Returns:
        list[str]: Sorted; empty if there is none.
    """
    return sorted(
        name
        for name, cls in MODELS.module_dict.items()
        if isinstance(cls, type)
        and issubclass(cls, Connector)
        and cls.fits(source, target)
    )


def _shape(option: str, value: Union[Shape, int]) -> Shape:
    if isinstance(value, Shape):
        return value
    return Shape((checked_size(option, value),))
