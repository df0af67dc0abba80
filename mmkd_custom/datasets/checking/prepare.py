"""Is a protocol's data in place, what is in it, and which split results."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, Optional, Tuple

import numpy as np
from rich.markup import escape
from rich.table import Table

from ...errors import UserError
from ...utils.files import write_atomic
from ..cifar import CIFAR
from ..domain_folder import DomainFolder
from ..domain_list import DomainList
from ..domains import domain_classes, find_domain, plain_spelling
from ..imagenet import ImageNetSubset
from ..subset import split_digest
from .archives import find_archives, unpack
from .protocols import Protocol, find_protocol


@dataclass
class Part:
    """One domain or split, as it was found.

    Args:
        name (str): The domain or split.
        counts (dict[str, int]): Images of every class.
        kept (dict[str, int]): Images of every class in the labelled split;
            all of them without a subset.
        sha256 (str): SHA-256 of the labelled split, which is ``split_sha256``
            of the ``results.json`` of a run that trains on it.
    """

    name: str
    counts: Dict[str, int]
    kept: Dict[str, int]
    sha256: str


@dataclass
class Preparation:
    """What :func:`prepare` found.

    Args:
        protocol (Protocol): The protocol.
        root (Path): The folder that was looked through.
        parts (list[Part]): What is in place.
        problems (list[str]): What is not, a sentence each.
        notes (list[str]): What was unpacked or written.
    """

    protocol: Protocol
    root: Path
    parts: List[Part] = field(default_factory=list)
    problems: List[str] = field(default_factory=list)
    notes: List[str] = field(default_factory=list)

    def table(self) -> Table:
        """Lists the images of every class in every part."""
        title = f'{self.protocol.title}: {self.root}'
        table = Table('class', title=escape(title))
        for part in self.parts:
            table.add_column(escape(part.name), justify='right')
        for name in {name: 0 for part in self.parts for name in part.counts}:
            cells = []
            for part in self.parts:
                total, kept = part.counts.get(name, '-'), part.kept.get(name)
                some = kept not in (total, None)
                cells.append(f'{kept} of {total}' if some else str(total))
            table.add_row(escape(name), *cells)
        return table

    def lines(self) -> List[str]:
        """Lists what every part holds and its digest, a line each."""
        lines = []
        for part in self.parts:
            total, kept = sum(part.counts.values()), sum(part.kept.values())
            some = '' if kept == total else f', {kept} of them in the split'
            lines.append(
                f'{part.name}: {total} images in {len(part.counts)} '
                f'classes{some}; SHA-256 {part.sha256}'
            )
        return [*lines, f'reported: {self.protocol.metric}', *self.notes]

    def where_from(self) -> str:
        """Returns half a sentence on what belongs where and its source."""
        return (
            f'put {self.protocol.layout} into {self.root}; the official page '
            f'of {self.protocol.title} is {self.protocol.page}'
        )


def prepare(
    name: str,
    data_root: Optional[str] = None,
    *,
    domain: Optional[str] = None,
    unpack_archives: bool = False,
    out: Optional[str] = None,
    ann_file: Optional[str] = None,
    **draw: Any,
) -> Preparation:
    """Checks a protocol's data, counts it and computes the split's digest.

    Args:
        name (str): A protocol, see :mod:`.protocols`.
        data_root (str, optional): The folder with the data. Defaults to
            None, which is ``$DATA_ROOT``, else where the configs look.
        domain (str, optional): Only this domain; with commas between, several
            as one dataset. Defaults to None, which is each domain.
        unpack_archives (bool): Whether to unpack archives that lie in or
            beside the folder if something is missing; those of CIFAR and
            ImageNet never are. Defaults to False.
        out (str, optional): A folder to write each labelled split to, as a
            list that ``DomainList`` reads with the ``data_root`` that a note
            names (CIFAR: ``index label`` a line). Defaults to None.
        ann_file (str, optional): ImageNet's list of the labelled images.
            Defaults to None.
        **draw: ``labels_per_class``, ``fraction`` and ``seed`` of
            :class:`LabelledDataset`.

    Returns:
        Preparation: What is there and what is missing.

    Raises:
        UserError: If there is no such protocol, an option does not fit it or
            an archive cannot be unpacked.
    """
    protocol = find_protocol(name)
    folder = data_root or os.environ.get('DATA_ROOT') or protocol.folder
    found = Preparation(protocol, Path(folder).expanduser())
    if domain and protocol.dataset not in ('DomainFolder', 'DomainList'):
        raise UserError(f'--domain: {protocol.title} has no domains.')
    if ann_file and protocol.dataset != 'ImageNetSubset':
        raise UserError(
            f'--list: expected NAME imagenet for {ann_file!r}, got '
            f'{protocol.name}.'
        )
    if ann_file:
        draw['ann_file'] = ann_file
    _scan(found, domain, draw, out)
    archives = find_archives(
        found.root, (protocol.name, protocol.title, found.root.name)
    )
    # CIFAR is read from its archive.
    if not found.problems or protocol.dataset == 'CIFAR' or not archives:
        return found
    if protocol.dataset == 'ImageNetSubset':
        # Unpacked where it lies, it would leave 1000 archives of a class
        # each, then the images of all classes, in one folder.
        found.problems.append(
            f'{archives[0]} is still packed and holds no class folders, so '
            '--unpack leaves it alone: unpack the <wnid>.tar in the training '
            'archive into train/<wnid>/ each, and that of the validation '
            'images into val/'
        )
        return found
    if not unpack_archives:
        found.problems += [
            f'{archive} is still packed: unpack it or add --unpack'
            for archive in archives
        ]
        return found
    found = Preparation(protocol, found.root)
    for archive in archives:
        names = unpack(archive, found.root)
        if names:
            found.notes.append(f'unpacked {archive}: {", ".join(names)}')
    _scan(found, domain, draw, out)
    return found


def _scan(
    found: Preparation, domain: Optional[str], draw: dict, out: Optional[str]
) -> None:
    protocol = found.protocol
    if not found.root.is_dir():
        found.problems.append(f'{found.root} is not an existing folder')
        return
    for name, labelled, build in _plans(protocol, str(found.root), domain):
        try:
            part = _count(name, build, draw if labelled else None, found, out)
        except UserError as error:
            found.problems.append(f'{name}: {str(error).rstrip(".")}')
            continue
        found.parts.append(part)
        if len(part.counts) != protocol.num_classes:
            found.problems.append(
                f'{name} holds {len(part.counts)} classes, but '
                f'{protocol.title} has {protocol.num_classes}'
            )


def _plans(
    protocol: Protocol, root: str, domain: Optional[str]
) -> Iterator[Tuple[str, bool, Callable[..., Any]]]:
    """Yields each part's name, whether labels are drawn from it, its maker.

    Domains are held against the first one that is in place. Those that may
    be missing are left out if they are.
    """
    if protocol.dataset in ('CIFAR', 'ImageNetSubset'):
        kind: Callable[..., Any] = ImageNetSubset
        if protocol.dataset == 'CIFAR':
            kind = partial(CIFAR, name=protocol.name)
        for split in protocol.parts:
            yield split, split == 'train', partial(kind, root, split=split)
        return
    listed = protocol.dataset == 'DomainList'
    look = partial(DomainList, lazy_init=True) if listed else domain_classes
    first = None
    for name in protocol.parts:
        if first is None and _can(look, root, domain=name):
            first = name
    for name in [domain] if domain else protocol.parts:
        if listed:
            build = partial(DomainList, root, domain=name, classes_from=first)
            yield f'{name} train', True, build
            test = partial(build, split='test', test_mode=True)
            yield f'{name} test', False, test
        elif (
            domain
            or name not in protocol.optional
            or _can(find_domain, root, name)
        ):
            build = partial(DomainFolder, root, name, classes_from=first)
            yield name, True, build


def _can(function: Callable, *args: Any, **kwargs: Any) -> bool:
    """Whether a call ends without a UserError."""
    try:
        function(*args, **kwargs)
    except UserError:
        return False
    return True


def _count(
    name: str,
    build: Callable[..., Any],
    draw: Optional[dict],
    found: Preparation,
    out: Optional[str],
) -> Part:
    whole = split = build()
    given = {key for key, value in (draw or {}).items() if value is not None}
    if given - {'seed'}:
        split = build(**draw)
    sha256 = split_digest(split)
    if out and draw is not None:
        path = Path(out).expanduser() / f'{plain_spelling(name)}.txt'
        _write_list(path, split, f'{found.protocol.name}, {name}, {sha256}')
        note = f'written {path}'
        if 'img_path' in split.get_data_info(0):
            note += f', whose paths are below {split.data_root}'
        found.notes.append(note)
    return Part(name, _by_class(whole), _by_class(split), sha256)


def _by_class(dataset: Any) -> Dict[str, int]:
    counts = np.bincount(
        dataset.get_gt_labels(), minlength=len(dataset.CLASSES)
    )
    return dict(zip(dataset.CLASSES, counts.tolist()))


def _write_list(path: Path, dataset: Any, title: str) -> None:
    lines = [f'# {title}']
    indices = dataset.subset_indices
    for index in range(len(dataset)):
        info = dataset.get_data_info(index)
        image = index if indices is None else indices[index]
        if 'img_path' in info:
            relative = os.path.relpath(info['img_path'], dataset.data_root)
            image = relative.replace(os.sep, '/')
        lines.append(f'{image} {info["gt_label"]}')
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(path, ('\n'.join(lines) + '\n').encode())
    except OSError as error:
        raise UserError(
            f'--out: {path} cannot be written ({error}).'
        ) from error
