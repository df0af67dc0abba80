"""Trains a config."""

import argparse

from .shared.options import add_cfg_options, add_config, add_launcher, parse


def parse_args() -> argparse.Namespace:
    """Parses MMPretrain's training arguments."""
    parser = argparse.ArgumentParser(description=__doc__)
    add_config(parser)
    parser.add_argument('--work-dir', help='where logs and weights go')
    parser.add_argument(
        '--resume',
        nargs='?',
        const='auto',
        help='continue from a checkpoint; without a path (or with "auto") '
        'from the newest complete one of the work directory',
    )
    parser.add_argument(
        '--overwrite',
        action='store_true',
        help='delete the results, student and checkpoints that an older run '
        'left in the work directory, which is refused otherwise',
    )
    parser.add_argument(
        '--amp', action='store_true', help='automatic mixed precision'
    )
    parser.add_argument(
        '--no-validate',
        action='store_true',
        help='do not evaluate during training',
    )
    parser.add_argument(
        '--auto-scale-lr',
        action='store_true',
        help='scale the learning rate to the actual batch size',
    )
    add_cfg_options(parser)
    add_launcher(parser)
    return parse(parser)


def main() -> None:
    """Trains."""
    args = parse_args()
    from ..engine.config import load_config, prepare
    from ..engine.launch import train

    config = load_config(args.config, args.cfg_options)
    train(
        prepare(
            config,
            config_path=args.config,
            work_dir=args.work_dir,
            launcher=args.launcher,
            amp=args.amp,
            resume=args.resume,
            auto_scale_lr=args.auto_scale_lr,
            validate=not args.no_validate,
            overwrite=args.overwrite,
        )
    )
