"""Fits a linear probe: ``python tools/probe_teacher.py CONFIG``."""

import argparse

import _interrupt  # noqa: F401

from mmkd_custom.engine.arguments import add_cfg_options
from mmkd_custom.engine.config import load_config
from mmkd_custom.errors import run_cli
from mmkd_custom.fitting.probe import probe_config, probe_usage
from mmkd_custom.models.teachers.wrappers.probed import (
    NORMALIZATIONS,
    STANDARDIZE,
)


def parse_args() -> argparse.Namespace:
    """Parses the arguments."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument('config', help='config file whose model has a teacher')
    parser.add_argument(
        '--out',
        help='safetensors file (default: what a ProbedTeacher of the config '
        "names, else probe.safetensors in the config's work directory)",
    )
    parser.add_argument(
        '--normalization',
        choices=NORMALIZATIONS,
        default=STANDARDIZE,
        help='what is done to the feature before the linear layer',
    )
    parser.add_argument(
        '--holdout',
        type=float,
        default=0.2,
        help='share of the labelled images that chooses the regularisation',
    )
    add_cfg_options(parser)
    return parser.parse_args()


def main() -> None:
    """Fits, stores and says how to use it."""
    args = parse_args()
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


if __name__ == '__main__':
    run_cli(main)
