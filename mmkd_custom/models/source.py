"""Where a term looks, and what that asks of networks."""

from __future__ import annotations

from typing import Dict, NamedTuple, Optional, Sequence, Tuple

from ..errors import UserError
from .outputs import MAPS


class Source(NamedTuple):
    """A place where a term looks: ``who[@view].what[.index]``.

    Attributes:
        network (str): ``student``, a teacher, an owned network or ``batch``.
        view (str, optional): The view that it looks at; None is its own.
        output (str): A path of :meth:`Outputs.get`; of ``batch`` it is
            ``targets`` or ``stream``.
    """

    network: str
    view: Optional[str]
    output: str

    @classmethod
    def parse(cls, text: str) -> Source:
        """Reads a place.

        Args:
            text (str): Such as ``student@strong.logits``, ``clip.maps.2``.

        Returns:
            Source: The place.

        Raises:
            UserError: If it is none.
        """
        who, _, output = str(text).partition('.')
        network, at, view = who.partition('@')
        if not network or not output or (at and not view):
            raise UserError(
                f'on: expected who[@view].what[.index], got {text!r}.'
            )
        return cls(network, view or None, output)

    @property
    def asked(self) -> str:
        """str: ``who[@view]``, the key of :attr:`Batch.outputs`."""
        return self.network + (f'@{self.view}' if self.view else '')

    @property
    def want(self) -> str:
        """str: What the network is asked for; all maps for one of them."""
        return MAPS if self.output.startswith(f'{MAPS}.') else self.output

    def __str__(self) -> str:
        return f'{self.asked}.{self.output}'


def merge_wants(sources: Sequence[Source]) -> Dict[str, Tuple[str, ...]]:
    """Collects what each network is asked for.

    Args:
        sources (Sequence[Source]): Places.

    Returns:
        dict[str, tuple[str]]: Outputs by ``who[@view]``, in the order in
        which they are first named, without repetitions.
    """
    wants: Dict[str, Tuple[str, ...]] = {}
    for source in sources:
        if source.network != 'batch':
            known = wants.setdefault(source.asked, ())
            if source.want not in known:
                wants[source.asked] = (*known, source.want)
    return wants
