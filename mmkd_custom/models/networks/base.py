"""What every network guarantees that a distiller owns."""

from __future__ import annotations

from typing import Any, Dict, Optional, Sequence, Tuple

from mmengine.model import BaseModule

from ..batch import Batch
from ..outputs import Outputs, Shape
from ..source import Source


class OwnedNetwork(BaseModule):
    """A network beside the student: trained or updated, and saved.

    Attributes:
        shapes (dict[str, Shape]): What it offers, set by :meth:`attach`.
        view (str, optional): The view that it looks at if it is asked about
            none; None if it looks at no image.
        of (tuple[Source]): What it needs of networks asked before it, if it
            is asked about its own view.
        ahead (tuple[Source]): What it needs of teachers before the first
            step, of every training image; a cache keeps it.
        sees_mixed (bool): Whether it looks at images as the student does,
            mixed where the distiller mixes some.
    """

    view: Optional[str] = None
    of: Tuple[Source, ...] = ()
    ahead: Tuple[Source, ...] = ()
    sees_mixed: bool = False

    def __init__(self) -> None:
        super().__init__()
        self.shapes: Dict[str, Shape] = {}

    def attach(self, distiller: Any) -> None:
        """Builds what depends on student and teachers.

        Args:
            distiller (BaseDistiller): With both built.
        """

    def needs(self, view: Optional[str] = None) -> Tuple[Source, ...]:
        """Names what it needs of others to be asked about a view.

        Args:
            view (str, optional): Defaults to None, its own.

        Returns:
            tuple[Source]: :attr:`of`, unless a subclass says otherwise.
        """
        return self.of

    def ask(
        self, batch: Batch, wants: Sequence[str], view: Optional[str] = None
    ) -> Outputs:
        """Answers for a batch.

        Args:
            batch (Batch): With what :attr:`of` names.
            wants (Sequence[str]): Names out of :attr:`shapes`.
            view (str, optional): Defaults to None, its own.

        Returns:
            Outputs: What ``wants`` names.
        """
        raise NotImplementedError

    def check(self, dataset: Any) -> None:
        """Looks at the training dataset before training starts."""

    def after_step(self, distiller: Any) -> None:
        """Called after each step of an optimiser, in every stage."""
