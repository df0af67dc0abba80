"""Evaluates the weights of a run, or a plain student."""

import argparse

from ..errors import UserError
from .shared.options import add_cfg_options, add_config, add_launcher, parse


def parse_args() -> argparse.Namespace:
    """Parses MMPretrain's test arguments."""
    parser = argparse.ArgumentParser(description=__doc__)
    add_config(parser)
    parser.add_argument(
        'checkpoint', help="a run's checkpoint, or a plain student.pth"
    )
    parser.add_argument('--work-dir', help='where the log goes')
    parser.add_argument(
        '--out', help='JSON file for the metrics, .pkl for predictions'
    )
    parser.add_argument(
        '--out-item',
        choices=['metrics', 'pred'],
        help='what --out gets: the metrics, or a list of what is predicted '
        'of each image, pickled as by MMPretrain (default: pred for a .pkl '
        'file, else metrics)',
    )
    parser.add_argument(
        '--tta',
        action='store_true',
        help="test-time augmentation: the config's tta_model and "
        'tta_pipeline, else the average over an image and its mirror image',
    )
    add_cfg_options(parser)
    add_launcher(parser)
    return parse(parser)


def main() -> None:
    """Evaluates."""
    args = parse_args()
    pickled = (args.out or '').endswith('.pkl')
    if args.out_item == 'pred' and not pickled:
        given = f'--out {args.out}' if args.out else '--out is missing'
        raise UserError(f'{given}, but --out-item pred wants a .pkl file.')
    if args.out_item == 'metrics' and pickled:
        raise UserError(
            f'--out {args.out}, but --out-item metrics wants a JSON file.'
        )
    from mmengine.dist import is_main_process

    from ..engine.config import load_config, prepare
    from ..engine.launch import test
    from ..evaluation.results import write_json
    from ..utils.files import check_output

    if args.out:
        check_output('--out', args.out)
    predictions = args.out if pickled else None
    config = prepare(
        load_config(args.config, args.cfg_options),
        config_path=args.config,
        work_dir=args.work_dir,
        launcher=args.launcher,
        trains=False,
    )
    metrics = test(config, args.checkpoint, args.tta, predictions)
    if args.out and not predictions and is_main_process():
        write_json(metrics, args.out)
