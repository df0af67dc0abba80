"""What is wrong between the datasets of a run: is it tested on new images?"""

from __future__ import annotations

from typing import Any, Dict, Iterator, List, NamedTuple, Optional

import numpy as np

from ...stages import LABELLED, STREAMS, SYNTHETIC, UNLABELLED
from ...utils.class_names import class_difference
from .check import Report
from .fingerprint import fingerprint_pixels, same_images

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


def check_streams(
    name: str, datasets: Dict[str, Any], workers: Optional[int] = None
) -> Report:
    """Checks what datasets hold, one against the others.

    Args:
        name (str): What is checked, for the report.
        datasets (dict[str, BaseDataset]): MMPretrain datasets by name:
            ``'labelled'`` is trained on with its labels, ``'unlabelled'`` and
            ``'synthetic'`` without them; all others are tested on.
        workers (int, optional): Processes that read; 1 reads in this one.
            Defaults to None, which is the number of cores.

    Returns:
        Report: What was found; of its ``details``, ``unlabelled_held_out``
        counts the images that are both trained on without label and tested
        on: all of them, in domain adaptation. An unlabelled image that is
        another dataset's as well, once, is no duplicate.
    """
    report = Report(name)
    report.counts = {name: len(data) for name, data in datasets.items()}
    report.faults = list(_class_faults(datasets))
    samples, pixels = [], {}
    for stream, dataset in datasets.items():
        for index in range(len(dataset)):
            info = dataset.get_data_info(index)
            label = None if stream in _WITHOUT else _label(info)
            path = info.get('img_path')
            sample = Sample(stream, index, path or f'image {index}', label)
            samples.append(sample)
            if path is None:
                pixels[sample] = fingerprint_pixels(info['img'])
    paths = [sample.name for sample in samples if sample not in pixels]
    files = report.read(paths, workers)
    held_out = 0
    for image, group in same_images(
        {one: pixels.get(one) or files[one.name] for one in samples}
    ):
        streams = {sample.stream for sample in group}
        held_out += bool(streams & {*_WITHOUT} and streams - {*STREAMS})
        kind = _kind(group)
        if kind is not None:
            report.add_duplicate(kind, image, samples=list(map(str, group)))
    if held_out:
        report.remarks.append(
            f'{held_out} images are both trained on without label and tested '
            'on, as domain adaptation wants'
        )
    report.details = dict(classes=report.faults, unlabelled_held_out=held_out)
    return report


def _kind(group: List[Sample]) -> Optional[str]:
    streams = [sample.stream for sample in group]
    if LABELLED in streams and set(streams) - set(STREAMS):
        return 'labelled and held out'
    if len({s.label for s in group if s.label is not None}) > 1:
        return 'label conflict'
    rest = [stream for stream in streams if stream not in _WITHOUT]
    if len(rest) > 1 or len(streams) - len(rest) > 1:
        return 'repeated'
    return None


def _label(info: dict) -> Any:
    label = info.get('gt_label', info.get('gt_score'))
    if np.ndim(label):
        return tuple(np.asarray(label).tolist())
    return None if label is None else int(label)


def _class_faults(datasets: Dict[str, Any]) -> Iterator[str]:
    """Tells where classes differ, and which are never seen with a label."""
    known = {
        name: list(dataset.metainfo['classes'])
        for name, dataset in datasets.items()
        # Synthetic images may be of other classes.
        if name != SYNTHETIC and dataset.metainfo.get('classes') is not None
    }
    first = next(iter(known), None)
    for name, classes in known.items():
        differs = class_difference(known[first], classes, (first, name))
        if differs:
            yield differs
    if LABELLED in known:
        data = datasets[LABELLED]
        seen = {_label(data.get_data_info(i)) for i in range(len(data))}
        # Several labels a sample, or soft ones, leave no class to be empty.
        if all(isinstance(label, int) for label in seen):
            for label, name in enumerate(known[LABELLED]):
                if label not in seen:
                    yield f'class {name!r} has no labelled image'
