"""Measures what distillation costs, in images a second."""

import argparse
import contextlib
import signal
import sys
import tempfile
from typing import Any, Dict

from .shared.options import add_cfg_options, add_config, add_json, parse


def parse_args() -> argparse.Namespace:
    """Parses the arguments."""
    parser = argparse.ArgumentParser(
        description='Images a second of plain training of the student, of '
        'distillation with the teacher asked in every batch, of distillation '
        'from the cache and of a customization epoch from the cache, over the '
        'same images.'
    )
    add_config(parser, 'config file of a distiller')
    parser.add_argument(
        '--windows',
        type=int,
        default=7,
        help='timed windows of each, in turns (default: 7)',
    )
    parser.add_argument(
        '--batches',
        type=int,
        default=12,
        help='batches of a window (default: 12)',
    )
    parser.add_argument(
        '--workers',
        type=int,
        help="worker processes of every loader (default: the config's)",
    )
    parser.add_argument(
        '--synthetic',
        type=int,
        metavar='N',
        help="train on N generated images instead of the config's",
    )
    add_json(parser, 'figures')
    add_cfg_options(parser)
    return parse(parser)


def main() -> None:
    """Measures and prints."""
    args = parse_args()
    from ..engine.config import load_config, prepare
    from ..evaluation.results import write_json
    from ..measuring.synthetic import load_synthetic
    from ..measuring.throughput import throughput
    from ..utils.files import check_output

    if args.json:
        check_output('--json', args.json)
    # So that what is temporary goes with it.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    with contextlib.ExitStack() as stack:
        if args.synthetic is None:
            config = load_config(args.config, args.cfg_options)
        else:
            folder = stack.enter_context(tempfile.TemporaryDirectory())
            config = load_synthetic(
                args.config, args.cfg_options, args.synthetic, folder
            )
        config = prepare(config, config_path=args.config, trains=False)
        found = throughput(config, args.windows, args.batches, args.workers)
    found['synthetic'] = args.synthetic
    show(found)
    if args.json:
        write_json(found, args.json)


def show(found: Dict[str, Any]) -> None:
    """Prints a table of images a second, and one of the ratios."""
    from rich.console import Console
    from rich.table import Table

    from ..measuring.modes import MODES

    images, seen = (
        ' x '.join(map(str, found[f'{name}_size']))
        for name in ('image', 'teacher_input')
    )
    print(
        f'{found["windows"]} windows of {found["batches"]} batches of '
        f'{found["batch_size"]}, images {images}, teacher {seen}, '
        f'{found["device"]}, {found["threads"]} threads, '
        f'{found["workers"]} workers; the cache takes '
        f'{found["cache_bytes_per_image"]:.0f} bytes an image in '
        f'{found["views"]} views'
    )
    table = Table('training')
    for heading in ('images/s', 'least', 'most', 'peak, MB', 'loading, %'):
        table.add_column(heading, justify='right')
    for name in MODES:
        figures = found[name]
        if figures is None:
            table.add_row(name, *['-'] * 5)
            continue
        peak = figures.get('gpu_peak_mb', figures['peak_mb'])
        numbers = (figures['images_per_second'], *figures['spread'], peak)
        numbers += (100 * figures['data_share'],)
        table.add_row(name, *(f'{number:.0f}' for number in numbers))
    Console().print(table)
    table = Table('ratio')
    for heading in ('median', 'least', 'most'):
        table.add_column(heading, justify='right')
    for name, spread in found['ratio_spreads'].items():
        numbers = (found[name], *spread)
        table.add_row(name, *(f'{number:.4f}' for number in numbers))
    Console().print(table)
