"""What one call of a benchmark does: it keeps, trains, and makes tables."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import List, Optional, Sequence

import torch

from ..errors import UserError
from ..utils.shipped import shipped
from .beside import beside_tables
from .cells import Cell
from .choosing import chosen_row
from .kept import add_lines
from .local import run_cells, visible_devices
from .paired import paired_tables
from .plot import plot_table
from .slurm import job_name, submit_cells
from .tables import metric_tables, write_tables


def keep(cells: Sequence[Cell], csv: Optional[Path]) -> None:
    """Adds what has finished to the CSV, if there is one."""
    if csv:
        lines = {c.run: c.line() for c in cells if c.kept is None}
        add_lines(csv, {run: line for run, line in lines.items() if line})


def train(
    cells: Sequence[Cell],
    *,
    options: Sequence[str] = (),
    csv: Optional[Path] = None,
    jobs: int = 1,
    partition: Optional[str] = None,
) -> int:
    """Trains what is not there, or submits it.

    Args:
        cells (Sequence[Cell]): All of them.
        options (Sequence[str]): ``--cfg-options`` of every training.
            Defaults to none.
        csv (Path, optional): Gets what has finished, at once. Defaults to
            None.
        jobs (int): Processes at once. Defaults to 1.
        partition (str, optional): Of Slurm, to which all is submitted then.
            Defaults to None.

    Returns:
        int: 1 if a training failed, else 0.
    """
    # All are looked at before the first is trained.
    more = {cell: cell.switches() for cell in cells if cell.kept is None}
    if options:
        for switches in more.values():
            switches += ['--cfg-options', *options]

    tools = shipped('tools')

    def submitting(cell: Cell) -> List[str]:
        return [
            *(str(tools / 'slurm_train.sh'), partition, job_name(cell)),
            *(str(cell.config), str(cell.work_dir), *more[cell]),
        ]

    def training(cell: Cell) -> List[str]:
        return [
            *(sys.executable, str(tools / 'train.py'), str(cell.config)),
            *('--work-dir', str(cell.work_dir), *more[cell]),
        ]

    if partition is not None:
        submit_cells(cells, submitting)
        return 0
    failed = run_cells(
        cells,
        training,
        jobs,
        visible_devices(torch.cuda.device_count()),
        finished=lambda cell: keep([cell], csv),
    )
    for cell, line in failed.items():
        print(f'failed: {cell}: {line} ({cell.log})', file=sys.stderr)
    return 1 if failed else 0


def make_tables(
    cells: Sequence[Cell],
    folder: Path,
    against: Optional[str] = None,
    select: bool = False,
) -> None:
    """Writes the tables and prints those of the last epoch.

    Args:
        cells (Sequence[Cell]): All of them.
        folder (Path): Gets the tables.
        against (str, optional): The row that each other is compared with.
            Defaults to None.
        select (bool): Say which row is chosen without a label of the target.
            Defaults to False.
    """
    found = {cell.run: cell.results() for cell in cells}
    results = {run: content for run, content in found.items() if content}
    print(f'{len(results)} of {len(cells)} runs have finished')
    tables = metric_tables(list(found), results)
    if not tables:
        return
    shown = ('last', 'selection') if select else ('last',)
    for table in tables:
        if table.kind in shown:
            print(table.markdown())
    written = write_tables(tables, folder)
    beside = beside_tables(list(found), results)
    for table in beside:
        print(table.markdown())
    write_tables(beside, folder)
    if against:
        paired = paired_tables(list(found), results, against)
        for table in paired:
            print(table.markdown())
        write_tables(paired, folder)
    if select:
        row = chosen_row(tables)
        print(
            'chosen without a label of the target: '
            + (row or 'none; no row has the agreement of all its runs')
        )
    try:
        for table, path in zip(tables, written):
            plot_table(table, path.with_suffix('.png'))
    except UserError as error:
        # The tables are what was asked for; pictures are an extra.
        print(error, file=sys.stderr)
    print(f'tables: {folder}')
