"""Times students, their ONNX files and their teachers on this CPU."""

import argparse
from typing import Any, Dict, Optional

from .shared.options import add_json, parse

#: Share of a processor that one thread has on an idle machine, at least.
ALONE = 0.9


def parse_args() -> argparse.Namespace:
    """Parses the arguments."""
    parser = argparse.ArgumentParser(
        description='Milliseconds of one image, parameters, multiply-adds, '
        'file and memory of students, their ONNX files and their teachers, on '
        'one thread and on all: what distillation bought.'
    )
    parser.add_argument(
        'students',
        nargs='+',
        metavar='STUDENT',
        help='folder of a finished run, with its export in export/; folder of '
        'an exported student; or an ONNX file',
    )
    parser.add_argument(
        '--runs', type=int, default=200, help='timed images (default: 200)'
    )
    parser.add_argument(
        '--warmup', type=int, default=20, help='images before (default: 20)'
    )
    parser.add_argument(
        '--seconds',
        type=float,
        default=10.0,
        help='begin no further image after so long (default: 10)',
    )
    parser.add_argument(
        '--threads',
        type=int,
        nargs='+',
        metavar='N',
        help='numbers of threads (default: 1, and as many as there are cores)',
    )
    add_json(parser, 'figures')
    return parse(parser)


def main() -> None:
    """Measures and prints."""
    args = parse_args()
    from ..evaluation.results import write_json
    from ..measuring.latency import bought, latency, least_share
    from ..utils.files import check_output

    if args.json:
        check_output('--json', args.json)
    found = latency(
        *(args.students, args.runs, args.warmup, args.seconds, args.threads)
    )
    found['bought'] = bought(found['rows'])
    show(found)
    share = least_share(found['rows'])
    if share < ALONE:
        print(
            f'Others were busy on this machine: a network had {share:.0%} of '
            'a processor. Compare the processor time; milliseconds of an idle '
            'machine are fewer.'
        )
    if args.json:
        write_json(found, args.json)


def show(found: Dict[str, Any]) -> None:
    """Prints one table, and what each file saves of the teacher."""
    from rich.console import Console
    from rich.table import Table

    console = Console()
    print(
        f'{found["cpu"]}; one image, median (95 %) of {found["runs"]} runs '
        f'after {found["warmup"]}'
    )
    several = len({row['student'] for row in found['rows']}) > 1
    table = Table()
    for heading in [*(['student'] if several else []), 'network']:
        table.add_column(heading, overflow='fold')
    counts = [f'{n} thread{"s" * (n > 1)}, ms' for n in found['threads']]
    # Memory is that of the network alone, without libraries; processor time
    # that on the fewest threads.
    headings = ('input', 'accuracy', 'M params', 'M MACs', 'file, MB')
    for heading in (*headings, 'memory, MB', *counts, 'CPU, ms'):
        table.add_column(heading, justify='right')
    for row in found['rows']:
        size = row['input']
        # Pixels are (N, H, W, 3), what is prepared is (N, 3, H, W).
        height, width = size[1:3] if size[-1] == 3 else size[-2:]
        cells = [
            f'{height}x{width}',
            '-' if row['network'] == 'teacher' else _accuracy(row),
            _millions(row['parameters'], 2),
            _millions(row['macs'], 1),
            _millions(row['file_bytes'], 2),
            f'{row["memory_mb"]:.0f}',
        ]
        cells += [f'{t["ms"]:.2f} ({t["p95_ms"]:.2f})' for t in row['times']]
        cells.append(f'{row["times"][0]["cpu_ms"]:.2f}')
        name = [row['student']] if several else []
        table.add_row(*name, row['network'], *cells)
    # Piped, it is as wide as it is, and no figure is cut.
    width = None if console.is_terminal else 160
    Console(width=width).print(table)
    for each in found['bought']:
        words = dict(
            cpu_ms='less processor time',
            parameters='fewer parameters',
            macs='fewer multiply-adds',
            file_bytes='fewer bytes',
            memory_mb='less memory',
        )
        said = ', '.join(
            f'{each[key]:.1f} times {word}'
            for key, word in words.items()
            if key in each
        )
        name = f'{each["student"]} ' if several else ''
        print(f'{name}{each["network"]}, of the teacher: {said}')
    for sentence in found['left_out']:
        print(f'No row of a teacher: {sentence}')


def _accuracy(row: Dict[str, Any]) -> str:
    value = row['metrics'].get('accuracy/top1')
    return '-' if value is None else f'{value:.1f}'


def _millions(value: Optional[float], digits: int) -> str:
    return '-' if value is None else f'{value / 1e6:.{digits}f}'
