"""What is wrong with a folder of domains, found before training does."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Dict, List, NamedTuple, Optional, Sequence

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

#: What is said of an image that is there twice, by kind. The last two do no
#: harm.
REASONS = {
    'label conflict': 'with different labels',
    'across domains': 'in different domains',
    'labelled and held out': 'labelled for training and tested on',
    'within a class': 'in one class',
    'repeated': 'which counts as often',
}
HARMLESS = ('within a class', 'repeated')


@dataclass
class Report:
    """What a check found.

    Args:
        name (str): The folder or config that was checked.
        counts (dict): Images of each dataset, or of each of its classes.
        faults (list[str]): What is wrong with the classes, a sentence each.
        unreadable (dict[str, str]): Path of every image that cannot be
            decoded to its end, with the reason.
        duplicates (list[dict]): Images that are there more than once:
            ``kind`` (of :data:`REASONS`), ``sha256``, ``size`` (width and
            height in pixels), and the places as ``paths`` or ``samples``.
        remarks (list[str]): What is worth knowing and does no harm.
        details (dict): Further entries of :meth:`to_dict`.
    """

    name: str
    counts: Dict[str, Any] = field(default_factory=dict)
    faults: List[str] = field(default_factory=list)
    unreadable: Dict[str, str] = field(default_factory=dict)
    duplicates: List[dict] = field(default_factory=list)
    remarks: List[str] = field(default_factory=list)
    details: Dict[str, Any] = field(default_factory=dict)

    def read(
        self, files: Sequence[str], workers: Optional[int]
    ) -> Dict[str, Fingerprint]:
        """Reads all images, and notes which cannot be read."""
        found = fingerprint_all(files, workers)
        self.unreadable = {
            path: image.error for path, image in found.items() if image.error
        }
        return found

    def add_duplicate(
        self, kind: str, image: Fingerprint, **places: List[str]
    ) -> None:
        """Notes that several places, given by one name, hold one image."""
        found = dict(kind=kind, sha256=image.sha256, size=image.size)
        self.duplicates.append(dict(found, **places))

    def problems(self) -> List[str]:
        """Lists everything that spoils training or its result, a line each."""
        unreadable = [
            f'{path} cannot be read ({reason})'
            for path, reason in self.unreadable.items()
        ]
        return [*self.faults, *unreadable, *self._repeated(harmless=False)]

    def notes(self) -> List[str]:
        """Lists what is worth knowing and does no harm, a line each."""
        return [*self.remarks, *self._repeated(harmless=True)]

    def summary(self) -> str:
        """Describes what there is, several lines of text."""
        lines = [f'{self.name}: {len(self.counts)} dataset(s)']
        for name, count in self.counts.items():
            classes = count if isinstance(count, dict) else {}
            total = sum(classes.values()) if classes else count or 0
            inside = f' in {len(classes)} classes' if classes else ''
            lines.append(f'  {name}: {total} images{inside}')
            lines += [f'    {n:>7} {label}' for label, n in classes.items()]
        ignored = self.details.get('ignored', ())
        if ignored:
            more = ', ...' if len(ignored) > 3 else ''
            lines.append(
                f'  ignored: {len(ignored)} other file(s) '
                f'({", ".join(ignored[:3])}{more})'
            )
        return '\n'.join(lines)

    def to_dict(self) -> dict:
        """Returns the report as JSON-ready data."""
        found = asdict(self)
        details = found.pop('details')
        return dict(
            found, **details, problems=self.problems(), notes=self.notes()
        )

    def _repeated(self, harmless: bool) -> List[str]:
        lines = []
        for found in self.duplicates:
            if (found['kind'] in HARMLESS) == harmless:
                first, *others = found.get('paths') or found['samples']
                lines.append(
                    f'{first} is the same image as {", ".join(others)}, '
                    f'{REASONS[found["kind"]]}'
                )
        return lines


def check_domain_folder(
    root: PathLike,
    domains: Optional[Sequence[str]] = None,
    workers: Optional[int] = None,
) -> Report:
    """Checks ``<root>/<domain>/<class>/`` folders and all of their images.

    Args:
        root (str): The folder that holds the domains.
        domains (Sequence[str], optional): The domains to check. Defaults to
            None, which is all of them.
        workers (int, optional): Processes that read; 1 reads in this one.
            Defaults to None, which is the number of cores.

    Returns:
        Report: What was found; its ``details`` list ``empty_domains``,
        ``missing_classes``, ``empty_classes`` and ``ignored``, files that
        training does not look at.

    Raises:
        UserError: If the root or a domain does not exist.
    """
    root = find_root(root)
    folders = [find_domain(root, name) for name in domains or _domains(root)]
    if not folders:
        raise UserError(f'data_root: expected domains in {root}, got none.')
    report = Report(str(root), details=dict(root=str(root), ignored=[]))
    images: Dict[str, _Place] = {}
    for folder in folders:
        images.update(_scan_domain(folder, report))
    _check_classes(folders, report)
    found = report.read(list(images), workers)
    for image, paths in same_images(found):
        places, classes = map(set, zip(*(images[path] for path in paths)))
        kind = 'across domains' if len(places) > 1 else 'within a class'
        if len(classes - {None}) > 1:
            kind = 'label conflict'
        below = [Path(path).relative_to(root).as_posix() for path in paths]
        report.add_duplicate(kind, image, paths=below)
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


def _scan_domain(folder: Path, report: Report) -> Dict[str, _Place]:
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
            report.details['ignored'].append(f'{folder.name}/{path}')
    report.counts[folder.name] = counts
    return images


def _check_classes(folders: Sequence[Path], report: Report) -> None:
    counts = report.counts
    trunks = [folder.name for folder in folders if is_trunked(folder)]
    named = [name for name in counts if counts[name] and name not in trunks]
    everything = sorted({label for name in named for label in counts[name]})
    empty = [name for name in counts if not counts[name]]
    missing = [
        f'{name}/{label}'
        for name in named
        for label in everything
        if label not in counts[name]
    ]
    without = [
        f'{name}/{label}'
        for name in counts
        for label, count in counts[name].items()
        if not count
    ]
    report.details.update(
        empty_domains=empty, missing_classes=missing, empty_classes=without
    )
    report.faults = [
        *(f'domain {name!r} holds no class folder' for name in empty),
        *(f'class folder {name} is missing' for name in missing),
        *(f'class folder {name} holds no image' for name in without),
    ]
