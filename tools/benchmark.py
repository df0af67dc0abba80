"""Trains configs x tasks x seeds and writes one table per metric.

Calling it again keeps the runs that have finished, continues the others and
makes the tables anew, in WORK_DIR/tables. Ends with 1 if any run failed.
"""

import argparse
import os
import signal
import sys
from itertools import permutations, product
from pathlib import Path
from typing import List, Tuple

import _interrupt  # noqa: F401
import torch

from mmkd_custom.benchmark.cells import Cell, make_cells
from mmkd_custom.benchmark.local import run_cells, visible_devices
from mmkd_custom.benchmark.plot import plot_table
from mmkd_custom.benchmark.slurm import job_name, submit_cells
from mmkd_custom.benchmark.tables import metric_tables, write_tables
from mmkd_custom.datasets.checking.protocols import find_protocol
from mmkd_custom.datasets.domains import (
    WRAPPERS,
    find_root,
    plain_spelling,
    split_names,
)
from mmkd_custom.datasets.images import visible_folders
from mmkd_custom.errors import UserError, run_cli

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
        metavar='SOURCE:TARGET',
        help='(default: the task of the configs themselves)',
    )
    tasks.add_argument(
        '--protocol',
        help='all ordered pairs of the domains of this one, such as '
        'officehome; from the training domain alone where there is one',
    )
    tasks.add_argument(
        '--all-pairs',
        action='store_true',
        help='all ordered pairs of the folders in DATA_ROOT',
    )
    tasks.add_argument(
        '--sources', nargs='+', help='each with each of --targets'
    )
    parser.add_argument('--targets', nargs='+')
    parser.add_argument('--seeds', nargs='+', type=int, default=[0, 1, 2])
    parser.add_argument(
        '--jobs', type=int, default=1, help='processes at once'
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
    if (args.sources is None) != (args.targets is None):
        parser.error('--sources and --targets go together')
    if (args.launcher == 'slurm') != (args.partition is not None):
        parser.error('--launcher slurm and --partition go together')
    if not all(0 <= seed < 2**32 for seed in args.seeds):
        parser.error(f'--seeds: expected numbers >= 0, got {args.seeds}')
    if args.jobs < 1:
        parser.error(f'--jobs: expected a number >= 1, got {args.jobs}')
    return args


def task_pairs(args: argparse.Namespace) -> List[Tuple[str, str]]:
    """Returns source and target of every task; none: the configs' own.

    Raises:
        UserError: If a task is malformed, or there are no two domains.
    """
    if args.tasks:
        pairs = [tuple(task.split(':')) for task in args.tasks]
        for task, pair in zip(args.tasks, pairs):
            if len(pair) != 2 or not all(pair) or not differ(*pair):
                raise UserError(
                    '--tasks: expected SOURCE:TARGET with two different '
                    'domains, such as Art:Clipart or, of several sources, '
                    f'Art,Clipart:Product, got {task}.'
                )
        return pairs
    if args.sources:
        pairs = [
            pair
            for pair in product(args.sources, args.targets)
            if differ(*pair)
        ]
    elif args.protocol:
        pairs = protocol_pairs(args.protocol)
    elif args.all_pairs:
        root = find_root(os.environ.get('DATA_ROOT'))
        names = visible_folders(root)
        # As find_domain does, into the folder that an archive put around.
        around = [n for n in names if plain_spelling(n) in WRAPPERS]
        if around:
            names = visible_folders(root / around[0])
        pairs = list(permutations(names, 2))
    else:
        return []
    if not pairs:
        raise UserError(
            '--sources, --targets or --all-pairs: expected two different '
            'domains, got none.'
        )
    return pairs


def differ(source: str, target: str) -> bool:
    """Whether a target, however spelled, is none of the sources."""
    sources = map(plain_spelling, split_names(source))
    return not {*sources} & {*map(plain_spelling, split_names(target))}


def protocol_pairs(name: str) -> List[Tuple[str, str]]:
    """Returns the tasks of a protocol of domain adaptation.

    Raises:
        UserError: If there is none of this name, or it has no domains.
    """
    protocol = find_protocol(name)
    if not protocol.dataset.startswith('Domain'):
        raise UserError(
            f'--protocol: expected one with domains, got {protocol.title}; '
            'leave it out and give its configs.'
        )
    parts = [p for p in protocol.parts if p not in protocol.optional]
    pairs = list(permutations(parts, 2))
    # VisDA's domains are splits: one is trained on.
    return [p for p in pairs if p[0] == 'train' or 'train' not in parts]


def train(cells: List[Cell], args: argparse.Namespace) -> int:
    """Trains what is not there, or submits it; returns the exit code."""
    # All are looked at before the first is trained.
    more = {cell: cell.switches() for cell in cells}
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
    )
    for cell, line in failed.items():
        print(f'failed: {cell}: {line} ({cell.log})', file=sys.stderr)
    return 1 if failed else 0


def make_tables(cells: List[Cell], folder: Path) -> None:
    """Writes the tables and prints those of the last epoch."""
    found = {cell.run: cell.results() for cell in cells}
    results = {run: content for run, content in found.items() if content}
    print(f'{len(results)} of {len(cells)} runs have finished')
    tables = metric_tables(list(found), results)
    if not tables:
        return
    for table in tables:
        if table.kind == 'last':
            print(table.markdown())
    written = write_tables(tables, folder)
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
    cells = make_cells(
        args.configs,
        task_pairs(args),
        args.seeds,
        args.work_dir,
        args.cfg_options,
        args.overwrite,
    )
    code = 0
    if not args.collect:
        try:
            code = train(cells, args)
        except KeyboardInterrupt:
            print('interrupted; the same call continues', file=sys.stderr)
            return 130
    make_tables(cells, args.work_dir / 'tables')
    return code


if __name__ == '__main__':
    run_cli(main)
