"""Domains of images in class folders: ``<root>/<domain>/<class>/*.jpg``."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Dict, List, Sequence, Tuple, Union

from ..errors import UserError
from ..registry import DATASETS
from ..utils.class_names import plain_name
from .base import LabelledDataset
from .domains import (
    check_same_classes,
    class_root,
    find_domains,
    folder_classes,
    is_trunked,
)
from .images import is_image_name, visible_files, visible_folders
from .lists import check_images, check_labels, read_list

#: Names the images of trunk folders and their labels.
TRUNK_LIST = 'image_list.txt'


@DATASETS.register_module()
class DomainFolder(LabelledDataset):
    """One or several domains of a dataset in class folders.

    Reads ``<data_root>/<domain>/<class>/**/*.jpg`` (and the other image
    formats), the layout of OfficeHome, PACS, Office-31 (whose ``images``
    folder between domain and classes is passed through) and VisDA. Classes
    are the sorted folder names; samples are sorted by class, then by path,
    several domains one after the other in the order given. Hidden files are
    left out, and so are links that lead back. A domain of ``trunk<number>``
    folders, as VisDA's test, is read by its ``image_list.txt`` in that file's
    order; its classes are those of another domain.

    A label subset is drawn per class over all domains together: with two
    domains ``labels_per_class=4`` keeps 4 images of a class, not 8.

    Args:
        data_root (str): The folder that holds the domains, or one that holds
            nothing but the archive's folder around them.
        domain (str | Sequence[str]): The domain, or several: a list or one
            string with commas between. Spaces, ``_``, ``-`` and case do not
            matter. All must have the same classes.
        classes_from (str | Sequence[str], optional): Other domains of the
            same root that must have the same classes. Defaults to None.
        **kwargs: Arguments of :class:`LabelledDataset`.

    Attributes:
        domain (str): The folders' names, with commas between.

    Raises:
        UserError: If a folder is missing, a class is empty or in one domain
            only, or the subset asks for more than there is.
    """

    def __init__(
        self,
        data_root: str,
        domain: Union[str, Sequence[str]],
        classes_from: Union[str, Sequence[str], None] = None,
        **kwargs: Any,
    ) -> None:
        self.folders = find_domains(data_root, domain)
        self.domain = ','.join(folder.name for folder in self.folders)
        self.origin = tuple(str(folder.resolve()) for folder in self.folders)
        others = []
        if classes_from is not None:
            others = find_domains(data_root, classes_from)
        super().__init__(
            ann_file='',
            metainfo=dict(classes=_shared_classes([*self.folders, *others])),
            data_root=str(self.folders[0].parent),
            **kwargs,
        )

    def load_data_list(self) -> List[dict]:
        """Lists ``img_path`` and ``gt_label`` of every sample."""
        samples = []
        for folder in self.folders:
            read = _read_trunks if is_trunked(folder) else _read_classes
            samples += read(folder, self.CLASSES)
        labels = [sample['gt_label'] for sample in samples]
        kept = self.keep(repr(self.domain), labels)
        return [samples[index] for index in kept]


def _read_classes(domain: Path, classes: Sequence[str]) -> List[dict]:
    samples = []
    root = class_root(domain)
    # On a disk an accented letter may be one character, or two.
    spelled = {plain_name(name): name for name in visible_folders(root)}
    seen: Dict[str, str] = {}
    for label, name in enumerate(classes):
        folder = root / spelled[name]
        twin = seen.get(os.path.realpath(folder))
        if twin is not None:
            raise UserError(
                f'class {name!r} of domain {domain.name!r}: expected each '
                f'image in one class, got {folder} and {twin}, which are one '
                'folder by a link.'
            )
        paths = sorted(filter(is_image_name, visible_files(folder, seen)))
        if not paths:
            raise UserError(
                f'class {name!r} of domain {domain.name!r}: expected images '
                f'in {folder}, got none.'
            )
        samples += [
            dict(img_path=str(folder / path), gt_label=label) for path in paths
        ]
    return samples


def _read_trunks(domain: Path, classes: Sequence[str]) -> List[dict]:
    lines = read_list(domain / TRUNK_LIST)
    check_labels(lines, classes)
    check_images(domain, lines)
    return [
        dict(img_path=str(domain / line.path), gt_label=line.label)
        for line in lines
    ]


def _shared_classes(folders: Sequence[Path]) -> Tuple[str, ...]:
    """Checks that all domains have the same classes, and returns them."""
    # Trunks name no class; without another domain their error says so.
    named = [folder for folder in folders if not is_trunked(folder)]
    first = named[0] if named else folders[0]
    classes = folder_classes(first)
    for other in named[1:]:
        check_same_classes(first, classes, other, folder_classes(other))
    return tuple(classes)
