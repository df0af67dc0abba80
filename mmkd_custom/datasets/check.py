"""What is wrong with a folder of domains, found before training does."""

from __future__ import annotations

import os
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Dict, List, Optional, Sequence

from ..errors import UserError
from ..progress import progress_bar
from .domain_folder import PathLike, find_domain, find_root
from .images import (
    decode_error,
    is_image_name,
    visible_files,
    visible_folders,
)

CHUNK = 32


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
    """

    root: str
    counts: Dict[str, Dict[str, int]] = field(default_factory=dict)
    unreadable: Dict[str, str] = field(default_factory=dict)
    empty_classes: List[str] = field(default_factory=list)
    missing_classes: List[str] = field(default_factory=list)
    empty_domains: List[str] = field(default_factory=list)
    ignored: List[str] = field(default_factory=list)

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
        return dict(asdict(self), problems=self.problems())


def check_domain_folder(
    root: PathLike,
    domains: Optional[Sequence[str]] = None,
    workers: Optional[int] = None,
) -> DatasetReport:
    """Checks ``<root>/<domain>/<class>/`` folders and decodes every image.

    Args:
        root (str): The folder that holds the domains.
        domains (Sequence[str], optional): The domains to check. Defaults to
            None, which is all of them.
        workers (int, optional): Processes that decode; up to 1 decodes in
            this one. Defaults to None, which is the number of cores.

    Returns:
        DatasetReport: What was found.

    Raises:
        UserError: If the root or a domain does not exist.
    """
    root = find_root(root)
    names = domains or visible_folders(root)
    if not names:
        raise UserError(f'data_root: {root} holds no domain folder.')
    report = DatasetReport(root=str(root))
    images: List[str] = []
    for name in names:
        folder = find_domain(root, name)
        images += _scan_domain(folder, report)
    everything = sorted(set().union(*report.counts.values()))
    report.missing_classes = [
        f'{domain}/{name}'
        for domain, classes in report.counts.items()
        if classes
        for name in everything
        if name not in classes
    ]
    report.unreadable = _decode_all(images, workers)
    return report


def _scan_domain(folder: Path, report: DatasetReport) -> List[str]:
    counts = {name: 0 for name in visible_folders(folder)}
    images = []
    for path in sorted(visible_files(folder)):
        name, inside, _ = path.partition('/')
        if inside and is_image_name(path):
            counts[name] += 1
            images.append(str(folder / path))
        else:
            report.ignored.append(f'{folder.name}/{path}')
    report.counts[folder.name] = counts
    report.empty_classes += [
        f'{folder.name}/{name}' for name, count in counts.items() if not count
    ]
    if not counts:
        report.empty_domains.append(folder.name)
    return images


def _decode_all(
    images: Sequence[str], workers: Optional[int]
) -> Dict[str, str]:
    if workers is None:
        workers = os.cpu_count() or 1
    with progress_bar() as bar, ExitStack() as stack:
        if workers <= 1:
            errors = map(decode_error, images)
        else:
            pool = stack.enter_context(ProcessPoolExecutor(workers))
            errors = pool.map(decode_error, images, chunksize=CHUNK)
        tracked = bar.track(errors, total=len(images), description='decoding')
        return {
            path: error
            for path, error in zip(images, tracked)
            if error is not None
        }
