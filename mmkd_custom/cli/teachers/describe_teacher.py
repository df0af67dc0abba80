"""Describes a config's teacher: sizes, outputs, memory."""

import argparse

from ..shared.options import add_cfg_options, add_config, parse


def parse_args() -> argparse.Namespace:
    """Parses the arguments."""
    parser = argparse.ArgumentParser(description=__doc__)
    add_config(parser, 'config file whose model has a teacher')
    parser.add_argument(
        '--image-size',
        type=int,
        help='pixels of the images that come to the teacher (default: the '
        "model's input_size)",
    )
    parser.add_argument(
        '--batch-size',
        type=int,
        help='also measure the peak memory for so many images, with the '
        'teacher seeing them all at once',
    )
    parser.add_argument(
        '--max-batch',
        type=int,
        nargs='+',
        default=[],
        help='... and at the most so many at once, each in turn',
    )
    add_cfg_options(parser)
    args = parse(parser)
    if args.max_batch and args.batch_size is None:
        parser.error('--max-batch goes with --batch-size')
    return args


def main() -> None:
    """Describes, and measures if asked."""
    args = parse_args()
    from rich.console import Console
    from rich.table import Table

    from ...engine.config import load_config
    from ...measuring.describe import describe_config, peak_memory
    from ...models.teachers.report import report_text

    config = load_config(args.config, args.cfg_options)
    print(report_text(describe_config(config, args.image_size)))
    if args.batch_size is None:
        return
    table = Table('max_batch', title=f'Batch of {args.batch_size} images')
    table.add_column('built, MB', justify='right')
    table.add_column('peak, MB', justify='right')
    for row in peak_memory(
        config, args.batch_size, [None, *args.max_batch], args.image_size
    ):
        table.add_row(
            str(row['max_batch']),
            f'{row["built_mb"]:.0f}',
            f'{row["peak_mb"]:.0f}',
        )
    Console().print(table)
