"""Domains of images in class folders: ``<root>/<domain>/<class>/*.jpg``."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, List, Optional, Sequence, Tuple, Union

from mmpretrain.datasets import BaseDataset

from ..errors import UserError
from ..registry import DATASETS
from ..utils.class_names import plain_name
from .domains import (
    PathLike,
    check_same_classes,
    class_root,
    domain_classes,
    find_domain,
    find_domains,
    find_root,
    folder_classes,
    is_trunked,
)
from .images import is_image_name, load_sample, visible_files, visible_folders
from .lists import check_images, check_labels, read_list
from .subset import keep_subset

# What this module gives others of where domains lie.
__all__ = [
    'DomainFolder',
    'PathLike',
    'domain_classes',
    'find_domain',
    'find_root',
]

#: Names the images of trunk folders and their labels.
TRUNK_LIST = 'image_list.txt'


@DATASETS.register_module()
class DomainFolder(BaseDataset):
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
        fraction (float, optional): Keep this seeded share of every class, in
            (0, 1]. Defaults to None, which keeps all.
        labels_per_class (int, optional): Keep this many seeded samples of
            every class. Defaults to None.
        complement (bool): Whether to keep what the subset leaves instead.
            Defaults to False.
        seed (int): Seed of the subset. Defaults to 0.
        pipeline (Sequence): Transforms. Defaults to ().
        test_mode (bool): Whether this is test data. Defaults to False.
        **kwargs: Further arguments of MMPretrain's ``BaseDataset``.

    Attributes:
        domain (str): The folders' names, with commas between.
        subset_indices (np.ndarray | None): Indices of the samples kept, among
            all of the domains; None without a subset.
        origin (tuple): The folders that the samples are drawn from.

    Raises:
        UserError: If a folder is missing, a class is empty or in one domain
            only, or the subset asks for more than there is.
    """

    def __init__(
        self,
        data_root: str,
        domain: Union[str, Sequence[str]],
        classes_from: Union[str, Sequence[str], None] = None,
        fraction: Optional[float] = None,
        labels_per_class: Optional[int] = None,
        complement: bool = False,
        seed: int = 0,
        pipeline: Sequence = (),
        test_mode: bool = False,
        **kwargs: Any,
    ) -> None:
        self.folders = find_domains(data_root, domain)
        self.domain = ','.join(folder.name for folder in self.folders)
        self.origin = tuple(str(folder.resolve()) for folder in self.folders)
        self.subset_options = dict(
            fraction=fraction,
            labels_per_class=labels_per_class,
            complement=complement,
            seed=seed,
        )
        self.subset_indices = None
        others = (
            []
            if classes_from is None
            else find_domains(data_root, classes_from)
        )
        super().__init__(
            ann_file='',
            metainfo=dict(classes=_shared_classes(self.folders, others)),
            data_root=str(self.folders[0].parent),
            pipeline=pipeline,
            test_mode=test_mode,
            **kwargs,
        )

    def load_data_list(self) -> List[dict]:
        """Lists ``img_path`` and ``gt_label`` of every sample."""
        samples = []
        for folder in self.folders:
            samples += (
                self._read_trunks(folder)
                if is_trunked(folder)
                else self._read_classes(folder)
            )
        samples, self.subset_indices = keep_subset(
            f'DomainFolder {self.domain!r}',
            samples,
            self.CLASSES,
            **self.subset_options,
        )
        return samples

    def prepare_data(self, idx: int) -> Any:
        """Runs the pipeline on a sample; names the file if it is broken."""
        return load_sample(self.pipeline, self.get_data_info(idx))

    def _read_classes(self, domain: Path) -> List[dict]:
        samples = []
        root = class_root(domain)
        # On a disk an accented letter may be one character, or two.
        spelled = {plain_name(name): name for name in visible_folders(root)}
        seen = {}
        for label, name in enumerate(self.CLASSES):
            folder = root / spelled[name]
            twin = seen.get(os.path.realpath(folder))
            if twin is not None:
                raise UserError(
                    f'class {name!r} of domain {domain.name!r}: {folder} and '
                    f'{twin} are one folder, by a link, but each image is '
                    'wanted in one class.'
                )
            paths = sorted(filter(is_image_name, visible_files(folder, seen)))
            if not paths:
                raise UserError(
                    f'class {name!r} of domain {domain.name!r} is empty: '
                    f'{folder} holds no image.'
                )
            samples += [
                dict(img_path=str(folder / path), gt_label=label)
                for path in paths
            ]
        return samples

    def _read_trunks(self, domain: Path) -> List[dict]:
        lines = read_list(domain / TRUNK_LIST)
        check_labels(lines, self.CLASSES)
        check_images(domain, lines)
        return [
            dict(img_path=str(domain / line.path), gt_label=line.label)
            for line in lines
        ]


def _shared_classes(
    folders: Sequence[Path], others: Sequence[Path]
) -> Tuple[str, ...]:
    """Checks that all domains have the same classes, and gives them."""
    # Trunks name no class; without another domain their error says so.
    named = [
        folder for folder in (*folders, *others) if not is_trunked(folder)
    ]
    first = named[0] if named else folders[0]
    classes = folder_classes(first)
    for other in named[1:]:
        check_same_classes(first, classes, other, folder_classes(other))
    return tuple(classes)
