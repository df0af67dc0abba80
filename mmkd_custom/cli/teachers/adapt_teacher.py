"""Adapts a config's teacher to its labelled images."""

import argparse

from ..shared.options import add_cfg_options, add_config, parse


def parse_args() -> argparse.Namespace:
    """Parses the arguments."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    add_config(parser, 'config file whose model has a teacher')
    parser.add_argument(
        '--mode',
        choices=['norm', 'lora', 'full'],
        default='norm',
        help='train the normalisation layers, LoRA matrices, or all weights',
    )
    parser.add_argument(
        '--epochs',
        type=int,
        default=10,
        help='passes over the labelled images',
    )
    parser.add_argument(
        '--lr',
        type=float,
        help='first learning rate (default: 1e-4 for full, otherwise 1e-3)',
    )
    parser.add_argument('--rank', type=int, default=8, help="LoRA's rank")
    parser.add_argument(
        '--alpha', type=float, default=16.0, help="LoRA's scale"
    )
    parser.add_argument(
        '--batch-size',
        type=int,
        default=32,
        help='images a step',
    )
    parser.add_argument(
        '--holdout',
        type=float,
        default=0.2,
        help='share of the labelled images that the accuracy is measured on',
    )
    parser.add_argument(
        '--out',
        help='safetensors file (default: teacher_<mode>.safetensors in the '
        "config's work directory)",
    )
    add_cfg_options(parser)
    return parse(parser)


def main() -> None:
    """Adapts, stores and says how to use it."""
    args = parse_args()
    from ...engine.config import load_config
    from ...fitting.adapt import adapt_config, adapt_usage
    from ...fitting.training import AdaptSettings

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
