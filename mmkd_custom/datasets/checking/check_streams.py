"""What is wrong between the datasets of a run: is it tested on new images?"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, Dict, List, NamedTuple, Optional, Tuple

import numpy as np

from ...stages import LABELLED, STREAMS, SYNTHETIC, UNLABELLED
from ...utils.class_names import class_difference
from .fingerprint import (
    Fingerprint,
    fingerprint_all,
    fingerprint_pixels,
    same_images,
)

#: Kinds of duplicates: the last does no harm.
HELD_OUT = 'labelled and held out'
CONFLICT = 'label conflict'
REPEATED = 'repeated'

#: Streams whose labels, if they have any, are not used.
_WITHOUT = (UNLABELLED, SYNTHETIC)


class Sample(NamedTuple):
    """One sample of one dataset.

    Args:
        stream (str): Name of the dataset.
        index (int): Its number there.
        name (str): Path, or ``image 7`` of one that lies in memory.
        label (tuple[float] | int, optional): None if none may be used.
    """

    stream: str
    index: int
    name: str
    label: Any

    def __str__(self) -> str:
        return f'{self.name} ({self.stream})'


class StreamDuplicate(NamedTuple):
    """One image that several samples hold.

    Args:
        kind (str): 'labelled and held out' if it is among the labelled
            images and in a dataset to be tested on, else 'label conflict' if
            it has several labels, else 'repeated'.
        samples (list[str]): The samples, each with its dataset.
        sha256 (str): Of the file's bytes, or of the pixels.
        size (tuple[int, int]): Width and height in pixels.
    """

    kind: str
    samples: List[str]
    sha256: str
    size: Tuple[int, int]

    def sentence(self) -> str:
        """Says which samples hold the same image."""
        reason = {
            HELD_OUT: 'labelled for training and tested on',
            CONFLICT: 'with different labels',
            REPEATED: 'which counts as often',
        }[self.kind]
        first, *others = self.samples
        return f'{first} is the same image as {", ".join(others)}, {reason}'


@dataclass
class StreamsReport:
    """What :func:`check_streams` found.

    Args:
        name (str): What was checked.
        counts (dict[str, int]): Samples of each dataset.
        unreadable (dict[str, str]): Path of every image that cannot be
            decoded to its end, with the reason.
        classes (list[str]): Sentences on classes that differ or are empty.
        duplicates (list[StreamDuplicate]): Images that several samples hold,
            but for those of an unlabelled image with another dataset's.
        unlabelled_held_out (int): Images that are both trained on without
            label and tested on: all of them, in domain adaptation.
    """

    name: str
    counts: Dict[str, int] = field(default_factory=dict)
    unreadable: Dict[str, str] = field(default_factory=dict)
    classes: List[str] = field(default_factory=list)
    duplicates: List[StreamDuplicate] = field(default_factory=list)
    unlabelled_held_out: int = 0

    def problems(self) -> List[str]:
        """Lists everything that spoils training or its result, a line each."""
        return [
            *self.classes,
            *(
                f'{path} cannot be read ({reason})'
                for path, reason in self.unreadable.items()
            ),
            *(d.sentence() for d in self.duplicates if d.kind != REPEATED),
        ]

    def notes(self) -> List[str]:
        """Lists what is worth knowing and does no harm, a line each."""
        notes = [d.sentence() for d in self.duplicates if d.kind == REPEATED]
        if self.unlabelled_held_out:
            notes.insert(
                0,
                f'{self.unlabelled_held_out} images are both trained on '
                'without label and tested on, as domain adaptation wants',
            )
        return notes

    def summary(self) -> str:
        """Describes the datasets, several lines of text."""
        return '\n'.join(
            [
                f'{self.name}: {len(self.counts)} dataset(s)',
                *(
                    f'  {stream}: {count} images'
                    for stream, count in self.counts.items()
                ),
            ]
        )

    def to_dict(self) -> dict:
        """Gives the report as JSON-ready data."""
        duplicates = [duplicate._asdict() for duplicate in self.duplicates]
        return dict(
            asdict(self),
            duplicates=duplicates,
            problems=self.problems(),
            notes=self.notes(),
        )


def check_streams(
    name: str, datasets: Dict[str, Any], workers: Optional[int] = None
) -> StreamsReport:
    """Checks what datasets hold, one against the others.

    Args:
        name (str): What is checked, for the report.
        datasets (dict[str, BaseDataset]): MMPretrain datasets by name:
            ``'labelled'`` is trained on with its labels, ``'unlabelled'`` and
            ``'synthetic'`` without them; all others are tested on.
        workers (int, optional): Processes that read; 1 reads in this one.
            Defaults to None, which is the number of cores.

    Returns:
        StreamsReport: What was found.
    """
    report = StreamsReport(name)
    report.counts = {name: len(data) for name, data in datasets.items()}
    report.classes = _class_problems(datasets)
    samples, pixels = _samples(datasets)
    files = fingerprint_all(
        [sample.name for sample in samples if sample not in pixels], workers
    )
    report.unreadable = {
        path: found.error
        for path, found in files.items()
        if found.error is not None
    }
    fingerprints = {
        sample: pixels[sample] if sample in pixels else files[sample.name]
        for sample in samples
    }
    for found, group in same_images(fingerprints):
        streams = {sample.stream for sample in group}
        if streams & set(_WITHOUT) and streams - set(STREAMS):
            report.unlabelled_held_out += 1
        kind = _kind(group)
        if kind is not None:
            report.duplicates.append(
                StreamDuplicate(
                    kind, list(map(str, group)), found.sha256, found.size
                )
            )
    return report


def _kind(group: List[Sample]) -> Optional[str]:
    streams = [sample.stream for sample in group]
    tested = set(streams) - set(STREAMS)
    if LABELLED in streams and tested:
        return HELD_OUT
    if len({s.label for s in group if s.label is not None}) > 1:
        return CONFLICT
    # An unlabelled image may be another dataset's as well, once.
    rest = [stream for stream in streams if stream not in _WITHOUT]
    if len(rest) > 1 or len(streams) - len(rest) > 1:
        return REPEATED
    return None


def _samples(
    datasets: Dict[str, Any],
) -> Tuple[List[Sample], Dict[Sample, Fingerprint]]:
    """Lists all samples; of those in memory, what they hold as well."""
    samples, pixels = [], {}
    for stream, dataset in datasets.items():
        for index in range(len(dataset)):
            info = dataset.get_data_info(index)
            label = None if stream in _WITHOUT else _label(info)
            path = info.get('img_path')
            sample = Sample(stream, index, path or f'image {index}', label)
            if path is None:
                pixels[sample] = fingerprint_pixels(info['img'])
            samples.append(sample)
    return samples, pixels


def _label(info: dict) -> Any:
    label = info.get('gt_label', info.get('gt_score'))
    if label is None:
        return None
    if np.ndim(label):
        return tuple(np.asarray(label).tolist())
    return int(label)


def _class_problems(datasets: Dict[str, Any]) -> List[str]:
    """Says where classes differ, and which are never seen with a label."""
    known = {
        name: list(dataset.metainfo['classes'])
        for name, dataset in datasets.items()
        # Synthetic images may be of other classes.
        if name != SYNTHETIC and dataset.metainfo.get('classes') is not None
    }
    problems = []
    first = next(iter(known), None)
    for name, classes in known.items():
        differs = class_difference(known[first], classes, (first, name))
        if differs:
            problems.append(differs)
    if LABELLED in known:
        labels = datasets[LABELLED]
        seen = {
            _label(labels.get_data_info(index)) for index in range(len(labels))
        }
        # Several labels a sample, or soft ones, leave no class to be empty.
        if all(isinstance(label, int) for label in seen):
            problems += [
                f'class {name!r} has no labelled image'
                for label, name in enumerate(known[LABELLED])
                if label not in seen
            ]
    return problems
