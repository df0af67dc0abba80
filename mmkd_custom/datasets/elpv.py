"""Photographs of solar cells from the ``elpv-dataset`` package."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any, List, NamedTuple, Optional, Sequence

import numpy as np

from ..errors import UserError
from ..registry import DATASETS
from .base import LabelledDataset, check_choice
from .subset import stratified_subset


class Cell(NamedTuple):
    """A line of ``labels.csv``: image, probability of a defect, type."""

    path: str
    probability: float
    kind: str


@DATASETS.register_module()
class ELPV(LabelledDataset):
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
        **kwargs: Arguments of :class:`LabelledDataset`.

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
        **kwargs: Any,
    ) -> None:
        check_choice('domain', domain, ('mono', 'poly', 'all'))
        check_choice('split', split, ('train', 'val', 'test', 'all'))
        if not 0 < threshold <= 1:
            raise UserError(
                f'threshold: expected a number in (0, 1], got {threshold!r}.'
            )
        held_out = val_fraction + test_fraction
        if min(val_fraction, test_fraction) <= 0 or held_out >= 1:
            raise UserError(
                'val_fraction and test_fraction: expected two shares above 0 '
                f'that leave some for training, got {val_fraction!r} and '
                f'{test_fraction!r}.'
            )
        self.domain = domain
        self.split = split
        self.threshold = threshold
        self.split_seed = split_seed
        self.val_fraction = val_fraction
        self.test_fraction = test_fraction
        root = Path(data_root).expanduser() if data_root else _package_data()
        self.origin = (
            *(str(root.resolve()), domain, split, split_seed),
            *(val_fraction, test_fraction),
        )
        super().__init__(ann_file='labels.csv', data_root=str(root), **kwargs)

    def load_data_list(self) -> List[dict]:
        """Lists ``img_path`` and ``gt_label`` of the split's samples."""
        cells = read_labels(Path(self.ann_file))
        split = [cells[index] for index in self._split(cells)]
        samples = [
            dict(
                img_path=str(Path(self.data_root) / cell.path),
                gt_label=int(cell.probability >= self.threshold),
            )
            for cell in split
            if self.domain in ('all', cell.kind)
        ]
        name = f'{self.domain!r} {self.split!r}'
        if not samples:
            raise UserError(f'{self.ann_file}: expected cells, got no {name}.')
        kept = self.keep(name, [sample['gt_label'] for sample in samples])
        return [samples[index] for index in kept]

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

    Raises:
        UserError: If the file is missing or a line is malformed.
    """
    if not path.is_file():
        raise UserError(
            'data_root: expected the data folder of the elpv-dataset package '
            f'(pip install elpv-dataset), got no {path}.'
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
                f'{path}, line {number}: expected an image path, a '
                f'probability and a cell type, got {line!r}.'
            ) from None
    return cells


def _package_data() -> Path:
    # Found without importing: nothing of the package's code is needed.
    spec = importlib.util.find_spec('elpv_dataset')
    if spec is None or not spec.submodule_search_locations:
        raise UserError(
            'data_root: expected a folder or the elpv-dataset package, got '
            'neither; run `pip install elpv-dataset`.'
        )
    return Path(next(iter(spec.submodule_search_locations))) / 'data'
