"""What finished runs have left: results, and scalars over their epochs."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any, Dict, List, NamedTuple, Optional, Sequence, Union

from ..errors import UserError
from ..evaluation.report import results_of

Row = Dict[str, Any]


class Run(NamedTuple):
    """A finished run.

    Args:
        name (str): What pictures call it.
        work_dir (Path): Its work directory.
        results (dict): The content of its ``results.json``.
        scalars (list[dict]): What MMEngine logged, see :func:`read_scalars`.
    """

    name: str
    work_dir: Path
    results: Dict[str, Any]
    scalars: List[Row]

    def share(self, row: Row) -> float:
        """Returns how far the run was at a row of its scalars, in percent.

        Stages make epochs of different kinds: the share of the run is what
        two methods have in common.
        """
        epochs = self.results.get('epochs') or 1
        if 'iter' not in row:
            return 100 * row['step'] / epochs
        length = self.results.get('epoch_iters')
        # Data whose length nobody knows: as far as it came.
        total = epochs * length if length else self.training[-1]['iter']
        return 100 * row['iter'] / total

    @property
    def training(self) -> List[Row]:
        """list[dict]: The rows of training, by ``iter``."""
        return [row for row in self.scalars if 'iter' in row]

    @property
    def evaluations(self) -> List[Row]:
        """list[dict]: The rows of evaluations, ``step`` being the epoch."""
        return [row for row in self.scalars if 'iter' not in row]


def read_runs(
    work_dirs: Sequence[Union[str, Path]],
    names: Optional[Sequence[str]] = None,
) -> List[Run]:
    """Reads finished runs.

    Args:
        work_dirs (Sequence[str | Path]): Their work directories.
        names (Sequence[str], optional): What they are called. Defaults to
            None, their paths below the folder that holds all of them.

    Returns:
        list[Run]: In the same order.

    Raises:
        UserError: If a folder is missing, given twice or holds no finished
            run, or there are not as many names.
    """
    folders = [Path(each) for each in work_dirs]
    for folder in folders:
        if not folder.is_dir():
            raise UserError(
                f'WORK_DIR {folder}: expected the work directory of a '
                'finished run, got no folder.'
            )
    resolved = [folder.resolve() for folder in folders]
    for folder, path in zip(folders, resolved):
        if resolved.count(path) > 1:
            raise UserError(
                f'WORK_DIR: expected different runs, got {folder} twice.'
            )
    if names is None:
        names = folder_names(resolved)
    if len(names) != len(folders) or len({*names}) != len(names):
        raise UserError(
            f'--names: expected {len(folders)} different names, one a run, '
            f'got {list(names)}.'
        )
    found = results_of(dict(zip(names, folders)))
    return [
        Run(name, folder, found[name], read_scalars(folder))
        for name, folder in zip(names, folders)
    ]


def folder_names(folders: Sequence[Path]) -> List[str]:
    """Returns paths below the folder that holds all of them."""
    above = os.path.commonpath([folder.parent for folder in folders])
    return [folder.relative_to(above).as_posix() for folder in folders]


def read_scalars(work_dir: Union[str, Path]) -> List[Row]:
    """Reads what MMEngine logged of a run, however often it was resumed.

    A resumed run logs into a folder of its own, and logs again what it had
    not saved: the later row counts. A run that starts anew in the same folder
    replaces what was there.

    Args:
        work_dir (str | Path): The work directory.

    Returns:
        list[dict]: Rows of training, with ``iter``, then of evaluations, of
        which ``step`` is the epoch; none where nothing was logged.
    """
    training: Dict[int, Row] = {}
    evaluations: Dict[int, Row] = {}
    # The folders are called by their time.
    for path in sorted(Path(work_dir).glob('*/vis_data/scalars.json')):
        rows = list(_rows(path))
        iters = [row['iter'] for row in rows if 'iter' in row]
        if iters and min(iters) <= min(training, default=0):
            training.clear()
            evaluations.clear()
        if iters:
            kept = min(iters)
            training = {i: r for i, r in training.items() if i < kept}
        for row in rows:
            if 'iter' in row:
                training[row['iter']] = row
            elif 'step' in row:
                evaluations[row['step']] = row
    return [
        rows[number]
        for rows in (training, evaluations)
        for number in sorted(rows)
    ]


def _rows(path: Path) -> List[Row]:
    rows = []
    for line in path.read_text(encoding='utf-8').splitlines():
        try:
            row = json.loads(line)
        except ValueError:
            # A kill leaves half a line.
            continue
        if isinstance(row, dict):
            rows.append(row)
    return rows
