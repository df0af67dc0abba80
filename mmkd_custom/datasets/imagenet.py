"""ImageNet, few of whose training images are labelled."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Dict, List, Optional, Sequence, Tuple

import numpy as np

from ..errors import UserError, nearest
from ..registry import DATASETS
from .base import LabelledDataset, check_choice
from .domains import check_same_classes, find_root
from .images import is_image_name, visible_folders
from .lists import check_labels, read_lines, read_list

VAL_LIST = 'meta/val.txt'
_CONTENT = 'train/<wnid>/ and val/ of ImageNet'


@DATASETS.register_module()
class ImageNetSubset(LabelledDataset):
    """ImageNet in its usual folders, all of it or the 1 % / 10 % protocols.

    Reads ``<data_root>/train/<wnid>/*.JPEG`` and either
    ``<data_root>/val/<wnid>/*.JPEG`` or ``<data_root>/val/*.JPEG`` with
    ``<data_root>/meta/val.txt``, a line ``name label`` an image. Classes are
    the sorted folder names; samples are sorted by class, then by name.

    Labelled subsets are those of SimCLR (Chen et al., "A simple framework for
    contrastive learning of visual representations", ICML 2020), given as a
    list of file names, or drawn with a seed.

    Args:
        data_root (str): The folder that holds ``train`` and ``val``.
        split (str): ``'train'`` or ``'val'``. Defaults to 'train'.
        ann_file (str, optional): List of the training images to keep, a bare
            file name such as ``n01440764_10074.JPEG`` a line; the class is
            the name up to its last ``_``. A relative path starts at
            ``data_root``. Without ``fraction`` and ``labels_per_class``.
            Defaults to None.
        **kwargs: Arguments of :class:`LabelledDataset`.

    Attributes:
        metainfo (dict): ``classes``: the wnids; and where they are the 1000
            of ImageNet-1k, ``class_names``: CLIP's names of them.

    Raises:
        UserError: If a folder or file is missing, a line of a list is wrong,
            or options contradict each other or the data.
    """

    def __init__(
        self,
        data_root: str,
        split: str = 'train',
        ann_file: Optional[str] = None,
        **kwargs: Any,
    ) -> None:
        check_choice('split', split, ('train', 'val'))
        draws = kwargs.get('fraction'), kwargs.get('labels_per_class')
        if ann_file and (split != 'train' or draws != (None, None)):
            raise UserError(
                f'ann_file: expected the train split without fraction and '
                f'labels_per_class, since {ann_file!r} says which images are '
                f'kept, got {split!r}, {draws[0]!r} and {draws[1]!r}.'
            )
        root = find_root(data_root, _CONTENT)
        # The classes are those of train, for val too.
        train = find_root(root / 'train', _CONTENT)
        self.split = split
        self.folder = find_root(root / split, _CONTENT)
        self.origin = (str(self.folder.resolve()),)
        self.list_file = root / Path(ann_file).expanduser() if ann_file else ''
        classes = visible_folders(train)
        if not classes:
            raise UserError(
                f'data_root: expected <wnid>/ folders in {train}, got none.'
            )
        # Without folders the images of val lie beside one another.
        found = visible_folders(self.folder) or classes
        check_same_classes(train, classes, self.folder, found)
        super().__init__(
            ann_file='',
            metainfo=_metainfo(classes),
            data_root=str(root),
            **kwargs,
        )

    def load_data_list(self) -> List[dict]:
        """Lists ``img_path`` and ``gt_label`` of every sample."""
        if self.split == 'train' or visible_folders(self.folder):
            names, labels = list_images(self.folder, self.CLASSES)
        else:
            path = Path(self.data_root) / VAL_LIST
            names, labels = _listed_images(self.folder, path, self.CLASSES)
        chosen = None
        if self.list_file:
            chosen = _read_subset(self.list_file, self.CLASSES, names)
        folder = f'{self.folder}{os.sep}'
        return [
            dict(img_path=folder + names[index], gt_label=labels[index])
            for index in self.keep(repr(self.split), labels, chosen)
        ]


def list_images(
    folder: Path, classes: Sequence[str]
) -> Tuple[List[str], List[int]]:
    """Lists the images of class folders, without looking at each file.

    Args:
        folder (Path): What holds the class folders.
        classes (Sequence[str]): Their names, in order.

    Returns:
        tuple[list[str], list[int]]: ``<class>/<name>`` of every image, by
        class, then by name, and its label.

    Raises:
        UserError: If a class folder is missing or holds no image.
    """
    names: List[str] = []
    labels: List[int] = []
    for label, wnid in enumerate(classes):
        found = _image_names(folder / wnid)
        if not found:
            raise UserError(
                f'{folder / wnid}: expected images of this class, got none.'
            )
        names += [f'{wnid}/{name}' for name in found]
        labels += [label] * len(found)
    return names, labels


def _image_names(folder: Path) -> List[str]:
    # A million images: their names tell what they are, and nothing is asked
    # of the file system about a single one.
    try:
        with os.scandir(folder) as entries:
            return sorted(
                entry.name
                for entry in entries
                if is_image_name(entry.name) and entry.name[0] != '.'
            )
    except OSError as error:
        raise UserError(
            f'{folder}: expected a folder of images, got {error.strerror}.'
        ) from error


def _metainfo(classes: List[str]) -> dict:
    metainfo = dict(classes=tuple(classes))
    if len(classes) == 1000:
        # Slow to import. open_clip has the names in the order of the wnids;
        # timm the wnids.
        from open_clip import IMAGENET_CLASSNAMES
        from timm.data import ImageNetInfo

        if classes == ImageNetInfo('imagenet-1k').label_names():
            metainfo['class_names'] = tuple(IMAGENET_CLASSNAMES)
    return metainfo


def _read_subset(
    path: Path, classes: Sequence[str], names: Sequence[str]
) -> np.ndarray:
    """Returns the sorted indices in ``names`` of the images of a list."""
    if not path.is_file():
        raise UserError(
            'ann_file: expected a list of training images, one bare file name '
            'a line (SimCLR publishes those of 1 % and 10 %), got no file '
            f'{path}; or draw labels with fraction (LABEL_LIST=draw).'
        )
    known = set(classes)
    images = []
    for number, name in read_lines(path, 'ann_file'):
        where, wnid = f'{path}, line {number}', name.rpartition('_')[0]
        if wnid not in known:
            raise UserError(
                f'{where}: expected the bare name of a training image, such '
                f'as n01440764_10074.JPEG, got {name!r} of the class {wnid!r} '
                f'({nearest(wnid, classes)}).'
            )
        images.append((where, f'{wnid}/{name}'))
    return np.sort(_find_images(images, names, 'train'))


def _listed_images(
    folder: Path, path: Path, classes: Sequence[str]
) -> Tuple[List[str], List[int]]:
    """Lists the images of a folder without classes, as list_images does."""
    lines = read_list(path)
    check_labels(lines, classes)
    names = _image_names(folder)
    found = _find_images(
        [(line.where, line.path) for line in lines], names, folder.name
    )
    if len(found) < len(names):
        unlisted = np.setdiff1d(np.arange(len(names)), found)
        raise UserError(
            f'{path}: expected all images of {folder}, got {len(found)} of '
            f'{len(names)}, without {names[unlisted[0]]}.'
        )
    labels = [line.label for line in lines]
    order = np.lexsort((found, labels))
    return [names[found[at]] for at in order], [labels[at] for at in order]


def _find_images(
    images: Sequence[Tuple[str, str]], names: Sequence[str], folder: str
) -> np.ndarray:
    """Returns the index in ``names`` of each image of a list, in its order."""
    lines: Dict[str, str] = {}
    for where, image in images:
        first = lines.setdefault(image, where)
        if first != where:
            raise UserError(
                f'{where}: expected each image once, got {image}, as in '
                f'{first}.'
            )
    found = {name: at for at, name in enumerate(names) if name in lines}
    for where, image in images:
        if image not in found:
            raise UserError(
                f'{where}: expected an existing image, got {folder}/{image}.'
            )
    return np.array([found[image] for image in lines], dtype=np.int64)
