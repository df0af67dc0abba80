"""A domain of images in class folders: ``<root>/<domain>/<class>/*.jpg``."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any, List, Optional, Sequence, Union

from mmpretrain.datasets import BaseDataset

from ..errors import UserError, nearest
from ..registry import DATASETS
from .images import (
    is_image_name,
    load_sample,
    visible_files,
    visible_folders,
)
from .subset import keep_subset

PathLike = Union[str, os.PathLike]


def find_root(data_root: Optional[PathLike]) -> Path:
    """Checks a data root.

    Args:
        data_root (str): The folder that holds the domains; ``~`` is expanded.

    Returns:
        Path: The folder.

    Raises:
        UserError: If it does not exist.
    """
    wanted = (
        'set DATA_ROOT to the folder that holds '
        '<domain>/<class>/ folders of images.'
    )
    if not data_root:
        raise UserError(f'data_root: no folder was given; {wanted}')
    root = Path(data_root).expanduser()
    if not root.is_dir():
        raise UserError(f'data_root: {root} is no existing folder; {wanted}')
    return root


def find_domain(data_root: PathLike, domain: str) -> Path:
    """Finds the folder of a domain, however its name is spelled.

    ``Real World``, ``Real_World`` and ``real-world`` are one domain: the
    archive of OfficeHome and the code that uses it differ in this.

    Args:
        data_root (str): The folder that holds the domains.
        domain (str): The domain's name.

    Returns:
        Path: The folder of the domain.

    Raises:
        UserError: If the root is missing, or not exactly one of its folders
            has this name.
    """
    root = find_root(data_root)
    domain = str(domain)
    known = visible_folders(root)
    if domain in known:
        return root / domain
    alike = [
        name
        for name in known
        if _plain_spelling(name) == _plain_spelling(domain)
    ]
    if len(alike) == 1:
        return root / alike[0]
    if alike:
        raise UserError(
            f'domain {domain!r} may be any of {alike} in {root}; give the '
            "folder's exact name."
        )
    listed = ', '.join(map(repr, known)) or 'none'
    raise UserError(
        f'domain {domain!r} is unknown in {root}: there are {listed} '
        f'({nearest(domain, known)}).'
    )


def domain_classes(data_root: PathLike, domain: str) -> List[str]:
    """Lists the classes of a domain without looking into them.

    Args:
        data_root (str): The folder that holds the domains.
        domain (str): The domain's name.

    Returns:
        list[str]: Names of its class folders, sorted: the class order.

    Raises:
        UserError: If there is no such domain or it holds no class folder.
    """
    folder = find_domain(data_root, domain)
    classes = visible_folders(folder)
    if not classes:
        raise UserError(
            f'domain {folder.name!r}: {folder} holds no class folder, but '
            '<domain>/<class>/ folders of images are wanted.'
        )
    return classes


@DATASETS.register_module()
class DomainFolder(BaseDataset):
    """One domain of a multi-domain dataset in class folders.

    Reads ``<data_root>/<domain>/<class>/**/*.jpg`` (and the other image
    formats), the layout of OfficeHome, PACS, Office-31 and VisDA. Classes are
    the sorted folder names; samples are sorted by class, then by path. Hidden
    files are left out.

    Args:
        data_root (str): The folder that holds the domains.
        domain (str): The domain. Spaces, ``_``, ``-`` and case do not matter.
        classes_from (str, optional): Another domain of the same root that
            must have the same classes. Defaults to None.
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
        subset_indices (np.ndarray | None): Indices of the samples kept, among
            all of the domain; None without a subset.
        origin (tuple): What the samples are drawn from.

    Raises:
        UserError: If the folder is missing, a class is empty or in one domain
            only, or the subset asks for more than there is.
    """

    def __init__(
        self,
        data_root: str,
        domain: str,
        classes_from: Optional[str] = None,
        fraction: Optional[float] = None,
        labels_per_class: Optional[int] = None,
        complement: bool = False,
        seed: int = 0,
        pipeline: Sequence = (),
        test_mode: bool = False,
        **kwargs: Any,
    ) -> None:
        self.folder = find_domain(data_root, domain)
        self.domain = self.folder.name
        self.origin = (str(self.folder.resolve()),)
        self.subset_options = dict(
            fraction=fraction,
            labels_per_class=labels_per_class,
            complement=complement,
            seed=seed,
        )
        self.subset_indices = None
        classes = domain_classes(data_root, domain)
        if classes_from is not None:
            _check_same_classes(data_root, self.folder, classes, classes_from)
        super().__init__(
            ann_file='',
            metainfo=dict(classes=tuple(classes)),
            data_root=str(self.folder.parent),
            pipeline=pipeline,
            test_mode=test_mode,
            **kwargs,
        )

    def load_data_list(self) -> List[dict]:
        """Lists ``img_path`` and ``gt_label`` of every sample."""
        samples = []
        for label, name in enumerate(self.CLASSES):
            folder = self.folder / name
            paths = sorted(filter(is_image_name, visible_files(folder)))
            if not paths:
                raise UserError(
                    f'class {name!r} of domain {self.domain!r} is empty: '
                    f'{folder} holds no image.'
                )
            samples += [
                dict(img_path=str(folder / path), gt_label=label)
                for path in paths
            ]
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


def _plain_spelling(name: str) -> str:
    return re.sub(r'[\s_-]+', '_', name.strip()).casefold()


def _check_same_classes(
    data_root: PathLike,
    folder: Path,
    classes: Sequence[str],
    classes_from: str,
) -> None:
    other = find_domain(data_root, classes_from)
    theirs = domain_classes(data_root, classes_from)
    for only, lacking, names in (
        (folder, other, sorted(set(classes) - set(theirs))),
        (other, folder, sorted(set(theirs) - set(classes))),
    ):
        if names:
            listed = ', '.join(map(repr, names[:5]))
            more = f' and {len(names) - 5} more' if len(names) > 5 else ''
            raise UserError(
                f'class {listed}{more} is in domain {only.name!r} only and '
                f'not in {lacking.name!r}; both must hold the same class '
                f'folders ({folder.parent}).'
            )
