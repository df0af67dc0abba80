"""Draws finished runs on one page.

The last one is what the others are compared with.
"""

import argparse
from pathlib import Path

from .shared.options import add_cfg_options, parse


def parse_args() -> argparse.Namespace:
    """Parses the arguments."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        'work_dirs', nargs='+', metavar='WORK_DIR', help='of finished runs'
    )
    parser.add_argument(
        '--out',
        type=Path,
        help='folder of report.html and pictures (default: analysis in the '
        'last WORK_DIR)',
    )
    parser.add_argument(
        '--names', nargs='+', help='of the runs (default: their folders)'
    )
    add_cfg_options(parser)
    return parse(parser)


def main() -> None:
    """Draws, and says what could not be drawn."""
    args = parse_args()
    from ..analysis.report import make_report

    report = make_report(
        args.work_dirs, args.out, args.names, args.cfg_options
    )
    for sentence in report.left_out:
        print(f'left out: {sentence}')
    for path in (*report.pictures, report.page):
        print(f'Wrote {path}')
