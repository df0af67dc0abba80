"""ImageNet, few of whose training images are labelled."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Dict, List, Optional, Sequence, Tuple

import numpy as np
from mmengine.logging import print_log
from mmpretrain.datasets import BaseDataset

from ..errors import UserError, nearest
from ..registry import DATASETS
from .domains import find_root
from .images import is_image_name, load_sample, visible_folders
from .lists import check_labels, read_list
from .subset import digest, label_subset

VAL_LIST = 'meta/val.txt'

#: What the data root is to be, for the errors.
WANTED = (
    'set DATA_ROOT to the folder that holds train/<wnid>/ and val/ of '
    'ImageNet.'
)


@DATASETS.register_module()
class ImageNetSubset(BaseDataset):
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
            ``data_root``. Defaults to None.
        fraction (float, optional): Without a list, keep this seeded share of
            every class, in (0, 1]. Defaults to None, which keeps all.
        labels_per_class (int, optional): Without a list, keep this many
            seeded samples of every class. Defaults to None.
        complement (bool): Whether to keep what the list or the draw leaves
            instead. Defaults to False.
        seed (int): Seed of the draw. Defaults to 0.
        pipeline (Sequence): Transforms. Defaults to ().
        test_mode (bool): Whether this is test data. Defaults to False.
        **kwargs: Further arguments of MMPretrain's ``BaseDataset``.

    Attributes:
        metainfo (dict): ``classes``: the wnids; and where they are the 1000
            of ImageNet-1k, ``class_names``: CLIP's names of them.
        subset_indices (np.ndarray | None): Indices of the samples kept, among
            all of the split; None without a subset.
        origin (tuple): What the samples are drawn from.

    Raises:
        UserError: If a folder or file is missing, a line of a list is wrong,
            or options contradict each other or the data.
    """

    def __init__(
        self,
        data_root: str,
        split: str = 'train',
        ann_file: Optional[str] = None,
        fraction: Optional[float] = None,
        labels_per_class: Optional[int] = None,
        complement: bool = False,
        seed: int = 0,
        pipeline: Sequence = (),
        test_mode: bool = False,
        **kwargs: Any,
    ) -> None:
        if split not in ('train', 'val'):
            raise UserError(
                f"split: 'train' or 'val' is wanted, but got {split!r}."
            )
        if ann_file and split != 'train':
            raise UserError(
                f'ann_file: {ann_file!r} lists training images, but '
                f'split={split!r}.'
            )
        if ann_file and (fraction, labels_per_class) != (None, None):
            raise UserError(
                f'ann_file: {ann_file!r} says which images are kept, so '
                'neither fraction nor labels_per_class is wanted, but got '
                f'fraction={fraction!r} and '
                f'labels_per_class={labels_per_class!r}.'
            )
        root = find_root(data_root, WANTED)
        # The classes are those of train, for val too.
        find_root(root / 'train', WANTED)
        self.split = split
        self.folder = root / split
        self.origin = (str(self.folder.resolve()),)
        self.list_file = root / Path(ann_file).expanduser() if ann_file else ''
        self.complement = complement
        self.subset_options = dict(
            fraction=fraction, labels_per_class=labels_per_class, seed=seed
        )
        self.subset_indices = None
        super().__init__(
            ann_file='',
            metainfo=_metainfo(root, split),
            data_root=str(root),
            pipeline=pipeline,
            test_mode=test_mode,
            **kwargs,
        )

    def load_data_list(self) -> List[dict]:
        """Lists ``img_path`` and ``gt_label`` of every sample."""
        if self.split == 'train' or visible_folders(self.folder):
            names, labels = list_images(self.folder, self.CLASSES)
        else:
            names, labels = _listed_images(
                self.folder,
                Path(self.data_root) / VAL_LIST,
                self.CLASSES,
            )
        self.subset_indices = self._subset(names, labels)
        kept = range(len(names))
        if self.subset_indices is not None:
            kept = self.subset_indices.tolist()
            print_log(
                f'ImageNetSubset {self.split!r}: {len(kept)} of {len(names)} '
                'images kept, SHA-256 of their indices '
                f'{digest(self.subset_indices)}',
                logger='current',
            )
        folder = f'{self.folder}{os.sep}'
        return [
            dict(img_path=folder + names[index], gt_label=labels[index])
            for index in kept
        ]

    def prepare_data(self, idx: int) -> Any:
        """Runs the pipeline on a sample; names the file if it is broken."""
        return load_sample(self.pipeline, self.get_data_info(idx))

    def _subset(
        self, names: List[str], labels: List[int]
    ) -> Optional[np.ndarray]:
        if not self.list_file:
            return label_subset(
                labels,
                classes=self.CLASSES,
                complement=self.complement,
                **self.subset_options,
            )
        chosen = _read_subset(self.list_file, self.CLASSES, names)
        if not self.complement:
            return chosen
        rest = np.setdiff1d(np.arange(len(names), dtype=np.int64), chosen)
        if not len(rest):
            raise UserError(
                f'complement=True: {self.list_file} lists all {len(names)} '
                'images and leaves none.'
            )
        return rest


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
            raise UserError(f'{folder / wnid}: this class holds no image.')
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
            f'{folder}: a folder of images is wanted, but it cannot be read '
            f'({error.strerror}).'
        ) from error


def _metainfo(root: Path, split: str) -> dict:
    classes = tuple(visible_folders(root / 'train'))
    if not classes:
        raise UserError(
            f'data_root: {root / "train"} holds no class folder, but '
            'train/<wnid>/*.JPEG is wanted.'
        )
    if split == 'val':
        if not (root / 'val').is_dir():
            raise UserError(
                f'data_root: {root / "val"} is no existing folder, but the '
                'validation images of ImageNet are wanted there.'
            )
        folders = visible_folders(root / 'val')
        unshared = sorted(set(folders) ^ set(classes)) if folders else ()
        if unshared:
            where = 'train' if unshared[0] in classes else 'val'
            raise UserError(
                f'class {unshared[0]!r} is in {root / where} only, but train '
                'and val must hold the same class folders.'
            )
    metainfo = dict(classes=classes)
    if len(classes) == 1000:
        # open_clip has the names, CLIP's own, in the order of the wnids; timm
        # the wnids.
        from open_clip import IMAGENET_CLASSNAMES
        from timm.data import ImageNetInfo

        if list(classes) == ImageNetInfo('imagenet-1k').label_names():
            metainfo['class_names'] = tuple(IMAGENET_CLASSNAMES)
    return metainfo


def _read_subset(
    path: Path, classes: Sequence[str], names: Sequence[str]
) -> np.ndarray:
    """Gives the sorted indices in ``names`` of the images of a list."""
    if not path.is_file():
        raise UserError(
            f'ann_file: {path} does not exist; put a list of training images '
            'there, one bare file name a line (SimCLR publishes those of 1 % '
            'and 10 %), or draw labels with fraction (LABEL_LIST=draw).'
        )
    try:
        text = path.read_text(encoding='utf-8-sig')
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(
            f'ann_file: {path} cannot be read as a list of file names '
            f'({type(error).__name__}: {error}).'
        ) from error
    known = set(classes)
    images = []
    for number, line in enumerate(text.splitlines(), start=1):
        name = line.strip()
        if not name:
            continue
        where, wnid = f'{path}, line {number}', name.rpartition('_')[0]
        if wnid not in known:
            raise UserError(
                f'{where}: the bare name of a training image, such as '
                f'n01440764_10074.JPEG, is wanted, but the class {wnid!r} of '
                f'{name!r} is unknown ({nearest(wnid, classes)}).'
            )
        images.append((where, f'{wnid}/{name}'))
    if not images:
        raise UserError(f'ann_file: {path} names no image.')
    return np.sort(_find_images(images, names, 'train'))


def _listed_images(
    folder: Path, path: Path, classes: Sequence[str]
) -> Tuple[List[str], List[int]]:
    """Lists the images of a folder without classes, as list_images does."""
    if not path.is_file():
        raise UserError(
            f'{path} does not exist, but {folder} has no class folders, so a '
            'list of its images, one `name label` a line, is wanted there.'
        )
    lines = read_list(path)
    check_labels(lines, classes)
    names = _image_names(folder)
    found = _find_images(
        [(line.where, line.path) for line in lines], names, folder.name
    )
    if len(found) < len(names):
        unlisted = np.setdiff1d(np.arange(len(names)), found)
        raise UserError(
            f'{path}: all images of {folder} are wanted, but '
            f'{len(unlisted)} are not listed, such as {names[unlisted[0]]}.'
        )
    labels = [line.label for line in lines]
    order = np.lexsort((found, labels))
    return [names[found[at]] for at in order], [labels[at] for at in order]


def _find_images(
    images: Sequence[Tuple[str, str]], names: Sequence[str], folder: str
) -> np.ndarray:
    """Gives the index in ``names`` of each image of a list, in its order."""
    lines: Dict[str, str] = {}
    for where, image in images:
        first = lines.setdefault(image, where)
        if first != where:
            raise UserError(
                f'{where}: the image {image} was listed before ({first}).'
            )
    found = {name: at for at, name in enumerate(names) if name in lines}
    for where, image in images:
        if image not in found:
            raise UserError(
                f'{where}: the image {folder}/{image} does not exist.'
            )
    return np.array([found[image] for image in lines], dtype=np.int64)
