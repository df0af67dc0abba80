"""What is trained and tested on: three datasets, and what is said of them."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Dict, List, Optional, Tuple

import numpy as np

from ..datasets.checking.fingerprint import fingerprint_all
from ..datasets.domains import listed
from ..errors import UserError
from ..utils.class_names import class_difference
from .places import (
    PathLike,
    build,
    find_place,
    images_of,
    labelled_spec,
    unlabelled_spec,
)

#: Share of the labelled images of each class that is held out to test on.
SHARE = 0.2
#: How many broken images a sentence names.
NAMED = 5


@dataclass
class Data:
    """The images of a run.

    Args:
        specs (dict[str, dict]): Config of the datasets ``labelled``,
            ``unlabelled`` and ``test``, without a pipeline.
        classes (tuple[str, ...]): Names of the classes, in order.
        paths (dict[str, tuple[str, ...]]): Images of each, in order.
        labels (dict[str, ndarray]): Of ``labelled`` and ``test``, (N,).
        notes (list[str]): What the user should know of them, a sentence each.
        size (int): Median of the shorter sides of the images, in pixels; set
            by :meth:`check_images`. Defaults to 0.
        folders (tuple[Path, ...]): Those whose folders are the classes.
            Defaults to none.
    """

    specs: Dict[str, dict]
    classes: Tuple[str, ...]
    paths: Dict[str, Tuple[str, ...]]
    labels: Dict[str, np.ndarray]
    notes: List[str] = field(default_factory=list)
    size: int = 0
    folders: Tuple[Path, ...] = ()

    def count(self, stream: str) -> int:
        """Returns the number of images of a dataset."""
        return len(self.paths[stream])

    def check_images(self, workers: Optional[int] = None) -> None:
        """Decodes every image once, and notes how large they are.

        Args:
            workers (int, optional): Processes. Defaults to None, the number
                of cores.

        Raises:
            UserError: If some cannot be decoded; names the first.
        """
        paths = [path for paths in self.paths.values() for path in paths]
        found = fingerprint_all(paths, workers)
        broken = [(p, one.error) for p, one in found.items() if one.error]
        if broken:
            shown = '; '.join(
                f'{path} ({why})' for path, why in broken[:NAMED]
            )
            more = len(broken) - NAMED
            raise UserError(
                f'expected images that can be decoded, got {len(broken)} that '
                f'cannot: {shown}{f" and {more} more" if more > 0 else ""}; '
                'replace or remove them.'
            )
        self.size = int(np.median([min(one.size) for one in found.values()]))


def find_data(
    data: Optional[PathLike] = None,
    labelled: Optional[PathLike] = None,
    unlabelled: Optional[PathLike] = None,
    test: Optional[PathLike] = None,
    seed: int = 0,
) -> Data:
    """Finds out which images are labelled, unlabelled and tested on.

    Args:
        data (str, optional): The folder that holds those that the others
            name; alone, a folder of classes or a CSV. Defaults to None.
        labelled (str, optional): Folder of classes, or a CSV with the columns
            path and label. Defaults to None, ``data`` itself.
        unlabelled (str, optional): Folder of images, however it is sorted, or
            a CSV, of which labels are not read. Defaults to None: the rows of
            the labelled CSV without a label; where there are none, the
            labelled images once more, without their labels.
        test (str, optional): As ``labelled``, to test on. Defaults to None: a
            fifth of the labelled images of each class is held out.
        seed (int): Of what is held out. Defaults to 0.

    Raises:
        UserError: If one of them is missing, empty or of other classes, there
            is one class alone, or labelled images are tested on.
    """
    if data is None and labelled is None:
        raise UserError(
            'labelled: expected a folder of classes, or DATA that is one, got '
            'neither.'
        )
    if data is not None:
        # Not looked up in itself, where a class may have its name.
        place = find_place('DATA', data)
    if labelled is not None:
        place = find_place('labelled', labelled, data)
    spec = labelled_spec('labelled', place)
    whole = build('labelled', spec)
    labels = _labels(whole)
    classes = tuple(whole.CLASSES)
    if len(classes) < 2:
        raise UserError(
            f'labelled: expected at least two classes in {place}, got '
            f'{classes[0]!r} alone.'
        )
    notes: List[str] = []
    places = [place]
    if test is None:
        drawn = dict(fraction=SHARE, seed=seed)
        _check_can_hold_out(classes, labels)
        specs = dict(
            labelled=dict(spec, complement=True, **drawn),
            test=dict(spec, **drawn),
        )
    else:
        found = find_place('test', test, data)
        specs = dict(labelled=spec, test=labelled_spec('test', found))
        places.append(found)
        if found.is_file():
            specs['test']['classes'] = list(classes)
    specs['unlabelled'] = _unlabelled(
        place, unlabelled, data, None if test else specs['labelled'], notes
    )
    built = {name: build(name, one) for name, one in specs.items()}
    differs = class_difference(
        built['test'].CLASSES, classes, ('the test images', 'the labelled')
    )
    if differs:
        raise UserError(f'test: expected the same classes, got: {differs}.')
    result = Data(
        specs=specs,
        classes=classes,
        paths={name: images_of(dataset) for name, dataset in built.items()},
        labels={n: _labels(built[n]) for n in ('labelled', 'test')},
        notes=notes,
        folders=tuple(path for path in places if path.is_dir()),
    )
    if test is None:
        notes.insert(
            0,
            f'{result.count("test")} of the {len(whole)} labelled images, '
            f'{SHARE:.0%} of each class drawn with seed {seed}, are held out '
            'to test on; --test names others.',
        )
    _compare(result, test is not None, unlabelled is not None)
    return result


def _unlabelled(
    place: Path,
    name: Optional[PathLike],
    data: Optional[PathLike],
    kept: Optional[dict],
    notes: List[str],
) -> dict:
    """Returns the unlabelled dataset.

    Args:
        place (Path): Where the labelled images are.
        name (str, optional): What the user calls the unlabelled ones.
        data (str, optional): Where that is.
        kept (dict, optional): The labelled dataset, if some are held out.
        notes (list[str]): Gets a sentence.
    """
    if name is not None:
        found = find_place('unlabelled', name, data)
        rows = 'unlabelled' if found == place and found.is_file() else 'all'
        return unlabelled_spec(found, rows)
    if place.is_file():
        spec = unlabelled_spec(place, 'unlabelled')
        try:
            build('unlabelled', spec)
            return spec
        except UserError:
            # Every row has a label.
            pass
    notes.append(
        'There are no unlabelled images, so the labelled ones serve as such '
        'too; more images without labels are what distillation lives on '
        '(--unlabelled).'
    )
    return dict(kept) if kept else unlabelled_spec(place)


def _labels(dataset: Any) -> np.ndarray:
    infos = (dataset.get_data_info(i) for i in range(len(dataset)))
    return np.array([info['gt_label'] for info in infos], dtype=np.int64)


def _check_can_hold_out(classes: Tuple[str, ...], labels: np.ndarray) -> None:
    counts = np.bincount(labels, minlength=len(classes))
    lone = [classes[label] for label in np.flatnonzero(counts < 2)]
    if lone:
        raise UserError(
            'labelled: expected at least two images of each class, of which '
            f'one is held out to test on, got one of {listed(lone)}; add '
            'some, or name other test images with --test.'
        )


def _compare(data: Data, test_given: bool, unlabelled_given: bool) -> None:
    """Says which images are in two places; refuses to test on labelled ones.

    Raises:
        UserError: If a labelled image is in a test set that was given.
    """
    real = {
        name: {os.path.realpath(path): path for path in paths}
        for name, paths in data.paths.items()
    }
    both = sorted(real['labelled'].keys() & real['test'].keys())
    if both and not test_given:
        raise UserError(
            'labelled: expected each image once, got '
            f'{real["test"][both[0]]} twice, of which one would be held out.'
        )
    if both:
        raise UserError(
            f'test: expected images that are not labelled ones, got '
            f'{len(both)} of these, {real["test"][both[0]]} for one.'
        )
    shared = len(real['unlabelled'].keys() & real['labelled'].keys())
    # Else it was said that there are no others.
    if shared and unlabelled_given:
        data.notes.append(
            f'{shared} of the {data.count("unlabelled")} unlabelled images '
            'are labelled ones.'
        )
    shared = len(real['unlabelled'].keys() & real['test'].keys())
    if shared:
        data.notes.append(
            f'{shared} of the {data.count("test")} test images are among the '
            'unlabelled ones: trained on without their labels '
            '(transductive), so the figures are those of these very images.'
        )
