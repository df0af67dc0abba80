"""Adapts a config's teacher: ``python tools/adapt_teacher.py CONFIG``."""

import argparse

import _interrupt  # noqa: F401

from mmkd_custom.engine.arguments import add_cfg_options
from mmkd_custom.engine.config import load_config
from mmkd_custom.errors import run_cli
from mmkd_custom.fitting.adapt import adapt_config, adapt_usage
from mmkd_custom.fitting.training import AdaptSettings

DEFAULTS = AdaptSettings()


def parse_args() -> argparse.Namespace:
    """Parses the arguments."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument('config', help='config file whose model has a teacher')
    parser.add_argument(
        '--mode',
        choices=['norm', 'lora'],
        default=DEFAULTS.mode,
        help='train the normalisation layers, or LoRA matrices',
    )
    parser.add_argument(
        '--epochs',
        type=int,
        default=DEFAULTS.epochs,
        help='passes over the labelled images',
    )
    parser.add_argument(
        '--lr', type=float, default=DEFAULTS.lr, help='first learning rate'
    )
    parser.add_argument(
        '--rank', type=int, default=DEFAULTS.rank, help="LoRA's rank"
    )
    parser.add_argument(
        '--alpha', type=float, default=DEFAULTS.alpha, help="LoRA's scale"
    )
    parser.add_argument(
        '--batch-size',
        type=int,
        default=DEFAULTS.batch_size,
        help='images a step',
    )
    parser.add_argument(
        '--holdout',
        type=float,
        default=DEFAULTS.holdout,
        help='share of the labelled images that the accuracy is measured on',
    )
    parser.add_argument(
        '--out',
        help='safetensors file (default: teacher_<mode>.safetensors in the '
        "config's work directory)",
    )
    add_cfg_options(parser)
    return parser.parse_args()


def main() -> None:
    """Adapts, stores and says how to use it."""
    args = parse_args()
    settings = AdaptSettings(
        mode=args.mode,
        epochs=args.epochs,
        lr=args.lr,
        rank=args.rank,
        alpha=args.alpha,
        batch_size=args.batch_size,
        holdout=args.holdout,
    )
    config = load_config(args.config, args.cfg_options)
    adaptation, path = adapt_config(config, settings, args.out)
    print(
        f'Wrote {path}: {adaptation.summary()}.\n\n'
        f'{adapt_usage(config, settings.mode, path)}'
    )


if __name__ == '__main__':
    run_cli(main)
