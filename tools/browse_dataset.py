"""Draws what student and teacher see: ``python tools/browse_dataset.py F``."""

import argparse
from pathlib import Path

import _interrupt  # noqa: F401

from mmkd_custom.analysis.browse import BOTH, CHOICES, browse, draw
from mmkd_custom.engine.arguments import add_cfg_options
from mmkd_custom.engine.config import load_config
from mmkd_custom.errors import run_cli


def parse_args() -> argparse.Namespace:
    """Parses the arguments."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('config', help='config file')
    parser.add_argument(
        '--out',
        type=Path,
        help='the picture (default: work_dirs/<config name>/browse.png)',
    )
    parser.add_argument(
        '--count', type=int, default=4, help='samples of each stream'
    )
    parser.add_argument(
        '--views', type=int, default=2, help='augmented views of each sample'
    )
    parser.add_argument('--stream', choices=CHOICES, default=BOTH)
    add_cfg_options(parser)
    return parser.parse_args()


def main() -> None:
    """Draws."""
    args = parse_args()
    config = load_config(args.config, args.cfg_options)
    out = args.out or Path('work_dirs', Path(args.config).stem, 'browse.png')
    seen = browse(config, args.count, args.views, args.stream)
    print(f'Wrote {draw(seen, out)}')


if __name__ == '__main__':
    run_cli(main)
