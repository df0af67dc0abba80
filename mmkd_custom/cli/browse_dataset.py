"""Draws what student and teacher see of a config's images."""

import argparse
from pathlib import Path

from .shared.options import add_cfg_options, add_config, parse


def parse_args() -> argparse.Namespace:
    """Parses the arguments."""
    parser = argparse.ArgumentParser(description=__doc__)
    add_config(parser)
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
    parser.add_argument(
        '--stream',
        choices=['labelled', 'unlabelled', 'synthetic', 'both'],
        default='both',
    )
    add_cfg_options(parser)
    return parse(parser)


def main() -> None:
    """Draws."""
    args = parse_args()
    from ..analysis.browse import browse, draw
    from ..engine.config import load_config

    config = load_config(args.config, args.cfg_options)
    out = args.out or Path('work_dirs', Path(args.config).stem, 'browse.png')
    seen = browse(config, args.count, args.views, args.stream)
    print(f'Wrote {draw(seen, out)}')
