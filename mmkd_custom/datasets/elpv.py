"""Photographs of solar cells from the ``elpv-dataset`` package."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any, List, NamedTuple, Optional, Sequence

import numpy as np
from mmpretrain.datasets import BaseDataset

from ..errors import UserError, nearest
from ..registry import DATASETS
from .images import load_sample
from .subset import keep_subset, stratified_subset

CELL_TYPES = ('mono', 'poly')
SPLITS = ('train', 'val', 'test')


class Cell(NamedTuple):
    """One line of ``labels.csv``.

    Args:
        path (str): Path of the image, relative to the file.
        probability (float): Probability of a defect, in [0, 1].
        kind (str): ``'mono'`` or ``'poly'`` crystalline silicon.
    """

    path: str
    probability: float
    kind: str


@DATASETS.register_module()
class ELPV(BaseDataset):
    """Electroluminescence images of functional and defective solar cells.

    2624 grayscale photographs of 300 x 300 pixels, monocrystalline (1074) and
    polycrystalline (1550) cells being two domains, from Deitsch et al.,
    "Automatic classification of defective photovoltaic module cells in
    electroluminescence images", Solar Energy 185 (2019), 455-468. The PyPI
    package ``elpv-dataset`` holds the images; their licence is CC BY-NC-SA
    4.0, so they are not for commercial use.

    A cell is ``defective`` when its defect probability (0, 1/3, 2/3 or 1) is
    at least ``threshold``. The splits are stratified by cell type and
    probability and do not depend on ``seed``.

    Args:
        domain (str): ``'mono'``, ``'poly'`` or ``'all'``. Defaults to 'all'.
        split (str): ``'train'``, ``'val'``, ``'test'`` or ``'all'``. Defaults
            to 'train'.
        data_root (str, optional): A folder that holds ``labels.csv``.
            Defaults to None, which is the installed package's.
        threshold (float): Least probability of a defective cell, in (0, 1].
            Defaults to 0.5.
        split_seed (int): Seed of the splits. Defaults to 0.
        val_fraction (float): Share of the validation split, in (0, 1).
            Defaults to 0.15.
        test_fraction (float): Share of the test split, in (0, 1). Defaults to
            0.25.
        fraction (float, optional): Keep this seeded share of every class of
            the split, in (0, 1]. Defaults to None, which keeps all.
        labels_per_class (int, optional): Keep this many seeded samples of
            every class of the split. Defaults to None.
        complement (bool): Whether to keep what the subset leaves instead.
            Defaults to False.
        seed (int): Seed of the subset. Defaults to 0.
        pipeline (Sequence): Transforms. Defaults to ().
        test_mode (bool): Whether this is test data. Defaults to False.
        **kwargs: Further arguments of MMPretrain's ``BaseDataset``.

    Attributes:
        subset_indices (np.ndarray | None): Indices of the samples kept, among
            all of the split; None without a subset.
        origin (tuple): What the samples are drawn from.

    Raises:
        UserError: If the package is not installed, its files are missing, or
            an option is out of range.
    """

    METAINFO = dict(classes=('functional', 'defective'))

    def __init__(
        self,
        domain: str = 'all',
        split: str = 'train',
        data_root: Optional[str] = None,
        threshold: float = 0.5,
        split_seed: int = 0,
        val_fraction: float = 0.15,
        test_fraction: float = 0.25,
        fraction: Optional[float] = None,
        labels_per_class: Optional[int] = None,
        complement: bool = False,
        seed: int = 0,
        pipeline: Sequence = (),
        test_mode: bool = False,
        **kwargs: Any,
    ) -> None:
        _check_choice('domain', domain, (*CELL_TYPES, 'all'))
        _check_choice('split', split, (*SPLITS, 'all'))
        if not 0 < threshold <= 1:
            raise UserError(
                'threshold: a probability in (0, 1] is wanted, '
                f'but got {threshold!r}.'
            )
        held_out = val_fraction + test_fraction
        if min(val_fraction, test_fraction) <= 0 or held_out >= 1:
            raise UserError(
                'val_fraction and test_fraction: two shares above 0 that '
                'leave some for training are wanted, but got '
                f'{val_fraction!r} and {test_fraction!r}.'
            )
        self.domain = domain
        self.split = split
        self.threshold = threshold
        self.split_seed = split_seed
        self.val_fraction = val_fraction
        self.test_fraction = test_fraction
        self.subset_options = dict(
            fraction=fraction,
            labels_per_class=labels_per_class,
            complement=complement,
            seed=seed,
        )
        self.subset_indices = None
        root = Path(data_root).expanduser() if data_root else _package_data()
        self.origin = (str(root.resolve()), domain, split, split_seed)
        self.origin += (val_fraction, test_fraction)
        super().__init__(
            ann_file='labels.csv',
            data_root=str(root),
            pipeline=pipeline,
            test_mode=test_mode,
            **kwargs,
        )

    def load_data_list(self) -> List[dict]:
        """Lists ``img_path`` and ``gt_label`` of the split's samples."""
        cells = read_labels(Path(self.ann_file))
        kept = [
            cells[index]
            for index in self._split(cells)
            if self.domain in ('all', cells[index].kind)
        ]
        samples = [
            dict(
                img_path=str(Path(self.data_root) / cell.path),
                gt_label=int(cell.probability >= self.threshold),
            )
            for cell in kept
        ]
        if not samples:
            raise UserError(
                f'{self.ann_file}: no image of domain '
                f'{self.domain!r}, split {self.split!r}.'
            )
        samples, self.subset_indices = keep_subset(
            f'ELPV {self.domain!r} {self.split!r}',
            samples,
            self.CLASSES,
            **self.subset_options,
        )
        return samples

    def prepare_data(self, idx: int) -> Any:
        """Runs the pipeline on a sample; names the file if it is broken."""
        return load_sample(self.pipeline, self.get_data_info(idx))

    def _split(self, cells: Sequence[Cell]) -> np.ndarray:
        everything = np.arange(len(cells))
        if self.split == 'all':
            return everything
        # Always drawn over both domains, so that 'all' is 'mono' and 'poly'.
        _, strata = np.unique(
            [f'{cell.kind} {cell.probability:.6f}' for cell in cells],
            return_inverse=True,
        )
        test = stratified_subset(
            strata, fraction=self.test_fraction, seed=self.split_seed
        )
        rest = np.setdiff1d(everything, test)
        val = rest[
            stratified_subset(
                strata[rest],
                seed=self.split_seed,
                fraction=self.val_fraction / (1 - self.test_fraction),
            )
        ]
        train = np.setdiff1d(rest, val)
        return dict(train=train, val=val, test=test)[self.split]


def read_labels(path: Path) -> List[Cell]:
    """Reads ``labels.csv``: path, probability and cell type a line.

    Args:
        path (Path): The file, columns separated by white space.

    Returns:
        list[Cell]: Its lines, in order.

    Raises:
        UserError: If the file is missing or a line is malformed.
    """
    if not path.is_file():
        raise UserError(
            f'data_root: {path} does not exist; the data folder of the '
            'elpv-dataset package is wanted (pip install elpv-dataset).'
        )
    cells = []
    lines = path.read_text(encoding='utf-8').splitlines()
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            image, probability, kind = line.split()
            cells.append(Cell(image, float(probability), kind))
        except ValueError:
            raise UserError(
                f'{path}, line {number}: an image path, a probability and a '
                f'cell type are wanted, but got {line!r}.'
            ) from None
    return cells


def _package_data() -> Path:
    # Found without importing: nothing of the package's code is needed.
    spec = importlib.util.find_spec('elpv_dataset')
    if spec is None or not spec.submodule_search_locations:
        raise UserError(
            'ELPV: the elpv-dataset package is not installed and no '
            'data_root is set; run `pip install elpv-dataset`.'
        )
    return Path(next(iter(spec.submodule_search_locations))) / 'data'


def _check_choice(option: str, value: str, known: Sequence[str]) -> None:
    if value not in known:
        raise UserError(
            f'{option}: one of {", ".join(map(repr, known))} is '
            f'wanted, but got {value!r} '
            f'({nearest(str(value), known)}).'
        )
