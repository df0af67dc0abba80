"""Which datasets read the domains or splits of a protocol."""

from __future__ import annotations

from functools import partial
from typing import (
    Any,
    Callable,
    Dict,
    Iterator,
    NamedTuple,
    Optional,
    Sequence,
)

from ...errors import UserError
from ..cifar import CIFAR
from ..domain_folder import DomainFolder
from ..domain_list import DomainList
from ..domains import domain_classes, find_domain
from ..imagenet import ImageNetSubset
from .protocols import Protocol


class Plan(NamedTuple):
    """How one domain or split is read.

    Args:
        name (str): The domain or split.
        labelled (bool): Whether labels are drawn from it.
        build (Callable): Makes the dataset; takes its subset options.
    """

    name: str
    labelled: bool
    build: Callable[..., Any]


def protocol_parts(
    protocol: Protocol, data_root: str, domain: Optional[str] = None
) -> Iterator[Plan]:
    """Says how to read a protocol's domains or splits, each apart.

    Domains are held against the first one that is in place. Those that may
    be missing are left out if they are.

    Args:
        protocol (Protocol): The protocol.
        data_root (str): The folder with its data.
        domain (str, optional): Only this domain, or several as one with
            commas between. Defaults to None, which is all.

    Returns:
        Iterator[Plan]: A plan each; building may raise UserError.
    """
    return _PLANS[protocol.dataset](protocol, data_root, domain)


def _domain_folders(
    protocol: Protocol, root: str, domain: Optional[str]
) -> Iterator[Plan]:
    first = _first(protocol.parts, lambda name: domain_classes(root, name))
    for name in [domain] if domain else protocol.parts:
        if name in protocol.optional and not domain:
            if _first([name], lambda name: find_domain(root, name)) is None:
                continue
        build = partial(DomainFolder, root, name)
        if first is not None:
            build = partial(build, classes_from=first)
        yield Plan(name, True, build)


def _domain_lists(
    protocol: Protocol, root: str, domain: Optional[str]
) -> Iterator[Plan]:
    first = _first(
        protocol.parts,
        lambda name: DomainList(root, domain=name, lazy_init=True),
    )
    for name in [domain] if domain else protocol.parts:
        build = partial(DomainList, root, domain=name, classes_from=first)
        yield Plan(f'{name} train', True, build)
        yield Plan(
            f'{name} test',
            False,
            partial(build, split='test', test_mode=True),
        )


def _splits(
    protocol: Protocol, root: str, domain: Optional[str]
) -> Iterator[Plan]:
    kind: Callable[..., Any] = ImageNetSubset
    if protocol.dataset == 'CIFAR':
        kind = partial(CIFAR, name=protocol.name)
    for split in protocol.parts:
        yield Plan(split, split == 'train', partial(kind, root, split=split))


def _first(names: Sequence[str], look: Callable[[str], Any]) -> Optional[str]:
    """Gives the first name that can be looked up."""
    for name in names:
        try:
            look(name)
        except UserError:
            continue
        return name
    return None


_PLANS: Dict[str, Callable[..., Iterator[Plan]]] = dict(
    DomainFolder=_domain_folders,
    DomainList=_domain_lists,
    CIFAR=_splits,
    ImageNetSubset=_splits,
)
