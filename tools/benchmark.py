"""Trains configs x tasks x seeds and writes one table per metric.

Calling it again keeps the runs that have finished, continues the others and
makes the tables anew, in WORK_DIR/tables. Ends with 1 if any run failed.
"""

import argparse
import signal
import sys
from pathlib import Path
from typing import List

import _interrupt  # noqa: F401
import torch

from mmkd_custom.benchmark.cells import Cell, make_cells
from mmkd_custom.benchmark.choosing import chosen_row
from mmkd_custom.benchmark.kept import add_lines
from mmkd_custom.benchmark.local import run_cells, visible_devices
from mmkd_custom.benchmark.paired import paired_tables
from mmkd_custom.benchmark.plot import plot_table
from mmkd_custom.benchmark.slurm import job_name, submit_cells
from mmkd_custom.benchmark.tables import metric_tables, write_tables
from mmkd_custom.benchmark.tasks import parse_tasks, protocol_tasks
from mmkd_custom.errors import UserError, nearest, run_cli
from mmkd_custom.utils.files import check_output

TOOLS = Path(__file__).resolve().parent


def parse_args() -> argparse.Namespace:
    """Parses the arguments."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        'configs', nargs='+', type=Path, help='config files, a row each'
    )
    parser.add_argument(
        '--work-dir', type=Path, default=Path('work_dirs/benchmark')
    )
    tasks = parser.add_mutually_exclusive_group()
    tasks.add_argument(
        '--tasks',
        nargs='+',
        metavar='TASK',
        help='SOURCE:TARGET, or variables that the configs read: '
        'LABEL_FRACTION=0.05 or SOURCE=mono,TARGET=poly,EVAL_SPLIT=val '
        '(default: the task of the configs themselves)',
    )
    tasks.add_argument(
        '--protocol',
        help='all ordered pairs of the domains of this one, such as '
        'officehome; from the training domain alone where there is one',
    )
    parser.add_argument('--seeds', nargs='+', type=int, default=[0, 1, 2])
    parser.add_argument(
        '--csv',
        type=Path,
        metavar='FILE',
        help='finished runs, a line each: what it has is not trained again, '
        'what finishes is added',
    )
    parser.add_argument(
        '--against',
        type=Path,
        metavar='CONFIG',
        help='one of the configs: the paired difference of each other row '
        'to it is written too',
    )
    parser.add_argument(
        '--select',
        action='store_true',
        help='say which row is chosen without a label of the target',
    )
    parser.add_argument(
        '--jobs',
        type=int,
        default=1,
        help='processes at once, spread over the GPUs, or all on the only one',
    )
    parser.add_argument(
        '--launcher',
        choices=['none', 'slurm'],
        default='none',
        help='slurm submits every run by tools/slurm_train.sh (which reads '
        'GPUS, GPUS_PER_NODE ... of the environment) and returns; call it '
        'again to collect',
    )
    parser.add_argument('--partition', help='of Slurm')
    parser.add_argument(
        '--collect', action='store_true', help='train nothing, make the tables'
    )
    parser.add_argument(
        '--overwrite',
        action='store_true',
        help='delete and train anew what was trained with other settings, '
        'which is refused otherwise',
    )
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        default=[],
        help='override settings of all configs, as key=value',
    )
    args = parser.parse_args()
    if (args.launcher == 'slurm') != (args.partition is not None):
        parser.error('--launcher slurm and --partition go together')
    if not all(0 <= seed < 2**32 for seed in args.seeds):
        parser.error(f'--seeds: expected numbers >= 0, got {args.seeds}')
    if args.jobs < 1:
        parser.error(f'--jobs: expected a number >= 1, got {args.jobs}')
    return args


def keep(cells: List[Cell], args: argparse.Namespace) -> None:
    """Adds what has finished to the CSV."""
    if args.csv:
        lines = {c.run: c.line() for c in cells if c.kept is None}
        add_lines(args.csv, {run: line for run, line in lines.items() if line})


def train(cells: List[Cell], args: argparse.Namespace) -> int:
    """Trains what is not there, or submits it; returns the exit code."""
    # All are looked at before the first is trained.
    more = {cell: cell.switches() for cell in cells if cell.kept is None}
    if args.cfg_options:
        for switches in more.values():
            switches += ['--cfg-options', *args.cfg_options]
    if args.launcher == 'slurm':
        submit_cells(
            cells,
            lambda cell: [
                str(TOOLS / 'slurm_train.sh'),
                args.partition,
                job_name(cell),
                str(cell.config),
                str(cell.work_dir),
                *more[cell],
            ],
        )
        return 0
    failed = run_cells(
        cells,
        lambda cell: [
            sys.executable,
            str(TOOLS / 'train.py'),
            str(cell.config),
            '--work-dir',
            str(cell.work_dir),
            *more[cell],
        ],
        args.jobs,
        visible_devices(torch.cuda.device_count()),
        finished=lambda cell: keep([cell], args),
    )
    for cell, line in failed.items():
        print(f'failed: {cell}: {line} ({cell.log})', file=sys.stderr)
    return 1 if failed else 0


def make_tables(cells: List[Cell], args: argparse.Namespace) -> None:
    """Writes the tables and prints those of the last epoch."""
    folder = args.work_dir / 'tables'
    found = {cell.run: cell.results() for cell in cells}
    results = {run: content for run, content in found.items() if content}
    print(f'{len(results)} of {len(cells)} runs have finished')
    tables = metric_tables(list(found), results)
    if not tables:
        return
    shown = ('last', 'selection') if args.select else ('last',)
    for table in tables:
        if table.kind in shown:
            print(table.markdown())
    written = write_tables(tables, folder)
    if args.against:
        paired = paired_tables(list(found), results, args.against.stem)
        for table in paired:
            print(table.markdown())
        write_tables(paired, folder)
    if args.select:
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


def main() -> int:
    """Trains, then makes the tables.

    Returns:
        int: 0; 1 if a run failed, 130 after Ctrl-C.
    """
    args = parse_args()
    # So that trainings end with it.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    rows = [config.stem for config in args.configs]
    if args.against and args.against.stem not in rows:
        raise UserError(
            f'--against: expected one of the configs, got {args.against} '
            f'({nearest(args.against.stem, rows)}).'
        )
    if args.csv:
        check_output('--csv', args.csv)
    tasks = protocol_tasks(args.protocol) if args.protocol else []
    cells = make_cells(
        args.configs,
        parse_tasks(args.tasks or []) or tasks,
        args.seeds,
        args.work_dir,
        args.cfg_options,
        args.overwrite,
        args.csv,
    )
    keep(cells, args)
    code = 0
    if not args.collect:
        try:
            code = train(cells, args)
        except KeyboardInterrupt:
            print('interrupted; the same call continues', file=sys.stderr)
            return 130
    keep(cells, args)
    make_tables(cells, args)
    return code


if __name__ == '__main__':
    run_cli(main)
