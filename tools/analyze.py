"""Draws finished runs: ``python tools/analyze.py WORK_DIR...``.

The last one is what the others are compared with.
"""

import argparse
from pathlib import Path

import _interrupt  # noqa: F401

from mmkd_custom.analysis.report import make_report
from mmkd_custom.engine.arguments import add_cfg_options
from mmkd_custom.errors import run_cli


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
    return parser.parse_args()


def main() -> None:
    """Draws, and says what could not be drawn."""
    args = parse_args()
    report = make_report(
        args.work_dirs, args.out, args.names, args.cfg_options
    )
    for sentence in report.left_out:
        print(f'left out: {sentence}')
    for path in (*report.pictures, report.page):
        print(f'Wrote {path}')


if __name__ == '__main__':
    run_cli(main)
