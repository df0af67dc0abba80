"""Is a protocol's data in place, what is in it, and which split results."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Callable, Dict, List, Optional

import numpy as np
from rich.markup import escape
from rich.table import Table

from ...errors import UserError
from ...utils.files import write_atomic
from ..domains import plain_spelling
from ..subset import split_digest
from .archives import find_archives, unpack
from .protocol_parts import protocol_parts
from .protocols import Protocol, find_protocol

_DRAWS = ('labels_per_class', 'fraction', 'ann_file')


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
        classes = {name: None for part in self.parts for name in part.counts}
        for name in classes:
            table.add_row(
                escape(name), *(_cell(part, name) for part in self.parts)
            )
        return table

    def lines(self) -> List[str]:
        """Says in a line each what every part holds and the digests."""
        lines = []
        for part in self.parts:
            total, kept = sum(part.counts.values()), sum(part.kept.values())
            some = '' if kept == total else f', {kept} of them in the split'
            lines.append(
                f'{part.name}: {total} images in {len(part.counts)} '
                f'classes{some}; SHA-256 {part.sha256}'
            )
        lines.append(f'reported: {self.protocol.metric}')
        return lines + self.notes

    def where_from(self) -> str:
        """Says what belongs where and where to get it."""
        return (
            f'put {self.protocol.layout} into {self.root}; the official page '
            f'of {self.protocol.title} is {self.protocol.page}'
        )


def prepare(
    name: str,
    data_root: Optional[str] = None,
    *,
    domain: Optional[str] = None,
    labels_per_class: Optional[int] = None,
    fraction: Optional[float] = None,
    seed: int = 0,
    ann_file: Optional[str] = None,
    unpack_archives: bool = False,
    out: Optional[str] = None,
) -> Preparation:
    """Checks a protocol's data, counts it and computes the split's digest.

    Args:
        name (str): A protocol, see :mod:`.protocols`.
        data_root (str, optional): The folder with the data. Defaults to
            None, which is ``$DATA_ROOT``, else where the configs look.
        domain (str, optional): Only this domain; with commas between, several
            as one dataset. Defaults to None, which is each domain.
        labels_per_class (int, optional): Labels to draw of every class.
            Defaults to None.
        fraction (float, optional): Share to draw of every class, in (0, 1].
            Defaults to None.
        seed (int): Seed of the draw. Defaults to 0.
        ann_file (str, optional): ImageNet's list of the labelled images.
            Defaults to None.
        unpack_archives (bool): Whether to unpack archives that lie in or
            beside the folder if something is missing; those of CIFAR and
            ImageNet never are. Defaults to False.
        out (str, optional): A folder to write each labelled split to, as a
            list that ``DomainList`` reads with the ``data_root`` that a note
            names (CIFAR: ``index label`` a line). Defaults to None.

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
            f'--list: {ann_file!r} is a list of ImageNet images, but NAME is '
            f'{protocol.name}.'
        )
    options = dict(
        labels_per_class=labels_per_class, fraction=fraction, seed=seed
    )
    if ann_file:
        options['ann_file'] = ann_file
    _scan(found, domain, options, out)
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
    _scan(found, domain, options, out)
    return found


def _scan(
    found: Preparation,
    domain: Optional[str],
    options: Dict[str, Any],
    out: Optional[str],
) -> None:
    if not found.root.is_dir():
        found.problems.append(f'{found.root} is no existing folder')
        return
    for name, labelled, build in protocol_parts(
        found.protocol, str(found.root), domain
    ):
        try:
            part = _count(name, build, options if labelled else {}, found, out)
        except UserError as error:
            found.problems.append(f'{name}: {str(error).rstrip(".")}')
            continue
        found.parts.append(part)
        if len(part.counts) != found.protocol.num_classes:
            found.problems.append(
                f'{name} holds {len(part.counts)} classes, but '
                f'{found.protocol.title} has {found.protocol.num_classes}'
            )


def _count(
    name: str,
    build: Callable[..., Any],
    options: Dict[str, Any],
    found: Preparation,
    out: Optional[str],
) -> Part:
    whole = split = build()
    if any(options.get(key) is not None for key in _DRAWS):
        split = build(**options)
    sha256 = split_digest(split)
    if out and options:
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


def _cell(part: Part, name: str) -> str:
    total, kept = part.counts.get(name), part.kept.get(name)
    if total is None:
        return '-'
    return str(total) if kept == total else f'{kept} of {total}'
