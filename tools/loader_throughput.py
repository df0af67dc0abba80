"""Times a loader: ``python tools/loader_throughput.py CONFIG``."""

import argparse

import _interrupt  # noqa: F401

from mmkd_custom.engine.arguments import add_cfg_options, add_json
from mmkd_custom.engine.config import load_config, prepare
from mmkd_custom.errors import run_cli
from mmkd_custom.evaluation import write_json
from mmkd_custom.measuring.loader import loader_throughput
from mmkd_custom.utils.files import check_output


def parse_args() -> argparse.Namespace:
    """Parses the arguments."""
    parser = argparse.ArgumentParser(
        description="Images a second of the config's two-stream loader "
        'against a plain MMPretrain loader over the same images and '
        'transforms.'
    )
    parser.add_argument('config', help='config file')
    parser.add_argument(
        '--workers',
        type=int,
        default=2,
        help='worker processes of each loader (default: 2)',
    )
    parser.add_argument(
        '--repeats',
        type=int,
        default=5,
        help='timed windows of each loader, in turns (default: 5)',
    )
    add_json(parser, 'figures')
    add_cfg_options(parser)
    return parser.parse_args()


def main() -> None:
    """Measures and prints."""
    args = parse_args()
    if args.json:
        check_output('--json', args.json)
    config = load_config(args.config, args.cfg_options)
    config = prepare(config, config_path=args.config, trains=False)
    found = loader_throughput(config, args.workers, args.repeats)
    print(
        f'{found["repeats"]} windows of {found["images"]} images in batches '
        f'of {found["batch_size"]}, {found["workers"]} workers'
    )
    for name in ('two_stream', 'plain'):
        rates = found[name]
        print(
            f'{name:>10}: {found[f"{name}_median"]:.0f} images/s '
            f'({min(rates):.0f} to {max(rates):.0f})'
        )
    print(
        f'{"ratio":>10}: {found["ratio"]:.3f} '
        f'({found["ratio_min"]:.3f} to {found["ratio_max"]:.3f})'
    )
    if found['left_out']:
        print(f'without {" and ".join(found["left_out"])}')
    if args.json:
        write_json(found, args.json)


if __name__ == '__main__':
    run_cli(main)
