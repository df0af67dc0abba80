"""Trains configs x tasks x seeds and writes one table per metric.

Calling it again keeps the runs that have finished, continues the others and
makes the tables anew, in WORK_DIR/tables. Ends with 1 if any run failed.
"""

from __future__ import annotations

import argparse
import signal
import sys
from pathlib import Path

from ..errors import UserError, nearest
from .shared.options import add_cfg_options, config_file


def parse_args() -> argparse.Namespace:
    """Parses the arguments."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        'configs',
        nargs='+',
        type=lambda word: Path(config_file(word)),
        metavar='config',
        help='config files, a row each',
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
    add_cfg_options(parser)
    # Words, because trainings get them too.
    args = parser.parse_args()
    args.cfg_options = args.cfg_options or []
    if (args.launcher == 'slurm') != (args.partition is not None):
        parser.error('--launcher slurm and --partition go together')
    if not all(0 <= seed < 2**32 for seed in args.seeds):
        parser.error(f'--seeds: expected numbers >= 0, got {args.seeds}')
    if args.jobs < 1:
        parser.error(f'--jobs: expected a number >= 1, got {args.jobs}')
    return args


def main() -> int:
    """Trains, then makes the tables.

    Returns:
        int: 0; 1 if a run failed, 130 after Ctrl-C.
    """
    args = parse_args()
    from ..benchmark import session
    from ..benchmark.cells import make_cells
    from ..benchmark.tasks import parse_tasks, protocol_tasks
    from ..utils.files import check_output

    # So that trainings end with it.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    rows = [config.stem for config in args.configs]
    against = args.against and args.against.stem
    if against and against not in rows:
        raise UserError(
            f'--against: expected one of the configs, got {args.against} '
            f'({nearest(against, rows)}).'
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
    session.keep(cells, args.csv)
    code = 0
    if not args.collect:
        try:
            code = session.train(
                cells,
                options=args.cfg_options,
                csv=args.csv,
                jobs=args.jobs,
                partition=args.partition,
            )
        except KeyboardInterrupt:
            print('interrupted; the same call continues', file=sys.stderr)
            return 130
    session.keep(cells, args.csv)
    folder = args.work_dir / 'tables'
    session.make_tables(cells, folder, against, args.select)
    return code
