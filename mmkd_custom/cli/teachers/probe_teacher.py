"""Fits a linear probe to a config's teacher."""

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
        '--out',
        help='safetensors file (default: what a ProbedTeacher of the config '
        "names, else probe.safetensors in the config's work directory)",
    )
    parser.add_argument(
        '--normalization',
        choices=['none', 'l2', 'standardize'],
        default='standardize',
        help='what is done to the feature before the linear layer',
    )
    parser.add_argument(
        '--holdout',
        type=float,
        default=0.2,
        help='share of the labelled images that chooses the regularisation',
    )
    add_cfg_options(parser)
    return parse(parser)


def main() -> None:
    """Fits, stores and says how to use it."""
    args = parse_args()
    from ...engine.config import load_config
    from ...fitting.probe import probe_config, probe_usage

    config = load_config(args.config, args.cfg_options)
    probe, fit, path = probe_config(
        config, args.normalization, args.holdout, args.out
    )
    print(
        f'Probe of {probe.teacher} ({probe.feature}, {probe.normalization}), '
        f'{len(probe.classes)} classes:\n\n{fit.table()}\n\n'
        f'All labelled images: {fit.train_accuracy:.2f} %. Wrote {path}.'
        f'\n\n{probe_usage(config, path)}'
    )
