"""What is wrong with a folder of domains, found before training does."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Dict, List, NamedTuple, Optional, Sequence, Set, Tuple

from ...errors import UserError
from ...utils.class_names import plain_name
from ..domains import (
    WRAPPERS,
    PathLike,
    class_root,
    find_domain,
    find_root,
    is_trunked,
    plain_spelling,
)
from ..images import is_image_name, visible_files, visible_folders
from .fingerprint import Fingerprint, fingerprint_all, same_images

#: Kinds of duplicates: only the last does no harm.
CONFLICT = 'label conflict'
ACROSS = 'across domains'
REPEATED = 'within a class'


class Duplicate(NamedTuple):
    """One image that several files hold.

    Args:
        kind (str): 'label conflict' if they are in different classes, else
            'across domains' if in different domains, else 'within a class'.
        paths (list[str]): The files, below the root.
        sha256 (str): SHA-256 of their bytes.
        size (tuple[int, int]): Width and height in pixels.
    """

    kind: str
    paths: List[str]
    sha256: str
    size: Tuple[int, int]

    def sentence(self) -> str:
        """Says which files hold the same image."""
        reason = {
            CONFLICT: 'in different classes',
            ACROSS: 'in different domains',
            REPEATED: 'in one class',
        }[self.kind]
        first, *others = self.paths
        return f'{first} is the same image as {", ".join(others)}, {reason}'


@dataclass
class DatasetReport:
    """What :func:`check_domain_folder` found.

    Args:
        root (str): The folder that was checked.
        counts (dict[str, dict[str, int]]): Images per domain and class.
        unreadable (dict[str, str]): Path of every image that cannot be
            decoded to its end, with the reason.
        empty_classes (list[str]): ``domain/class`` folders without images.
        missing_classes (list[str]): ``domain/class`` folders that another
            domain has.
        empty_domains (list[str]): Domains without class folders.
        ignored (list[str]): Files that training will not look at: no image,
            or not in a class folder. They do no harm.
        duplicates (list[Duplicate]): Images that several files hold. Within
            one class they do no harm but to count twice.
    """

    root: str
    counts: Dict[str, Dict[str, int]] = field(default_factory=dict)
    unreadable: Dict[str, str] = field(default_factory=dict)
    empty_classes: List[str] = field(default_factory=list)
    missing_classes: List[str] = field(default_factory=list)
    empty_domains: List[str] = field(default_factory=list)
    ignored: List[str] = field(default_factory=list)
    duplicates: List[Duplicate] = field(default_factory=list)

    def problems(self) -> List[str]:
        """Lists everything that training would trip over, a line each."""
        return [
            *(
                f'domain {name!r} holds no class folder'
                for name in self.empty_domains
            ),
            *(
                f'class folder {name} is missing'
                for name in self.missing_classes
            ),
            *(
                f'class folder {name} holds no image'
                for name in self.empty_classes
            ),
            *(
                f'{path} cannot be read ({reason})'
                for path, reason in self.unreadable.items()
            ),
            *(
                duplicate.sentence()
                for duplicate in self.duplicates
                if duplicate.kind != REPEATED
            ),
        ]

    def notes(self) -> List[str]:
        """Lists what is worth knowing and does no harm, a line each."""
        return [
            duplicate.sentence()
            for duplicate in self.duplicates
            if duplicate.kind == REPEATED
        ]

    def summary(self) -> str:
        """Describes what the folder holds, several lines of text."""
        lines = [f'{self.root}: {len(self.counts)} domain(s)']
        for domain, classes in self.counts.items():
            lines.append(
                f'  {domain}: {sum(classes.values())} images in '
                f'{len(classes)} classes'
            )
            lines += [
                f'    {count:>7} {name}' for name, count in classes.items()
            ]
        if self.ignored:
            listed = ', '.join(self.ignored[:3])
            more = ', ...' if len(self.ignored) > 3 else ''
            lines.append(
                f'  ignored: {len(self.ignored)} other file(s) '
                f'({listed}{more})'
            )
        return '\n'.join(lines)

    def to_dict(self) -> dict:
        """Gives the report as JSON-ready data."""
        duplicates = [duplicate._asdict() for duplicate in self.duplicates]
        return dict(
            asdict(self),
            duplicates=duplicates,
            problems=self.problems(),
            notes=self.notes(),
        )


def check_domain_folder(
    root: PathLike,
    domains: Optional[Sequence[str]] = None,
    workers: Optional[int] = None,
) -> DatasetReport:
    """Checks ``<root>/<domain>/<class>/`` folders and all of their images.

    Args:
        root (str): The folder that holds the domains.
        domains (Sequence[str], optional): The domains to check. Defaults to
            None, which is all of them.
        workers (int, optional): Processes that read; 1 reads in this one.
            Defaults to None, which is the number of cores.

    Returns:
        DatasetReport: What was found.

    Raises:
        UserError: If the root or a domain does not exist.
    """
    root = find_root(root)
    names = domains or _domains(root)
    if not names:
        raise UserError(f'data_root: {root} holds no domain folder.')
    report = DatasetReport(root=str(root))
    images: Dict[str, _Place] = {}
    named: Dict[str, Set[str]] = {}
    for name in names:
        folder = find_domain(root, name)
        images.update(_scan_domain(folder, report))
        if not is_trunked(folder):
            named[folder.name] = set(report.counts[folder.name])
    everything = sorted(set().union(*named.values()))
    report.missing_classes = [
        f'{domain}/{name}'
        for domain, classes in named.items()
        if classes
        for name in everything
        if name not in classes
    ]
    found = fingerprint_all(list(images), workers)
    report.unreadable = {
        path: image.error
        for path, image in found.items()
        if image.error is not None
    }
    report.duplicates = _duplicates(root, images, found)
    return report


class _Place(NamedTuple):
    """Domain and class of an image; no class in the trunks of VisDA."""

    domain: str
    name: Optional[str]


def _domains(root: Path) -> List[str]:
    names = visible_folders(root)
    for name in names:
        if plain_spelling(name) in WRAPPERS:
            return visible_folders(root / name)
    return names


def _scan_domain(folder: Path, report: DatasetReport) -> Dict[str, _Place]:
    base, trunked = class_root(folder), is_trunked(folder)
    counts = {plain_name(name): 0 for name in visible_folders(base)}
    images = {}
    for path in sorted(visible_files(base)):
        name, inside, _ = path.partition('/')
        name = plain_name(name)
        if inside and is_image_name(path):
            counts[name] += 1
            place = _Place(folder.name, None if trunked else name)
            images[str(base / path)] = place
        else:
            report.ignored.append(f'{folder.name}/{path}')
    report.counts[folder.name] = counts
    report.empty_classes += [
        f'{folder.name}/{name}' for name, count in counts.items() if not count
    ]
    if not counts:
        report.empty_domains.append(folder.name)
    return images


def _duplicates(
    root: Path,
    images: Dict[str, _Place],
    fingerprints: Dict[str, Fingerprint],
) -> List[Duplicate]:
    duplicates = []
    for found, paths in same_images(fingerprints):
        below = [Path(path).relative_to(root).as_posix() for path in paths]
        domains, classes = map(set, zip(*(images[path] for path in paths)))
        if len(classes - {None}) > 1:
            kind = CONFLICT
        else:
            kind = ACROSS if len(domains) > 1 else REPEATED
        duplicates.append(Duplicate(kind, below, found.sha256, found.size))
    return duplicates
