"""Distils a foundation model into a small classifier of your images."""

import argparse

from .shared.options import parse

_EPILOG = """\
examples:
  DATA/<class>/*.jpg            DATA
  DATA/<domain>/<class>/*.jpg   DATA --labelled catalogue --unlabelled phone
  two folders                   --labelled classes/ --unlabelled anything/
  CSV with columns path,label   images.csv (an empty label: unlabelled)

What is decided, and why, is printed before training; --plan stops there.
"""


def parse_args() -> argparse.Namespace:
    """Parses the arguments."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        'data',
        nargs='?',
        metavar='DATA',
        help='folder that holds what --labelled and --unlabelled name; alone, '
        'a folder of classes or a CSV',
    )
    images = parser.add_argument_group('images')
    images.add_argument('--labelled', help='folder of classes, or a CSV')
    images.add_argument(
        '--unlabelled',
        help='folder of any images, or a CSV; no label is read (default: '
        'rows of the CSV without a label, else the labelled images)',
    )
    images.add_argument(
        '--test',
        help='folder of classes, or a CSV, to test on (default: a fifth of '
        'the labelled images is held out)',
    )
    networks = parser.add_argument_group('networks')
    networks.add_argument(
        '--student',
        default='mobilenet-v3-small',
        help="name of MMPretrain's model zoo, or timm/NAME (default: "
        '%(default)s)',
    )
    networks.add_argument(
        '--student-weights',
        default='auto',
        metavar='auto|none|FILE',
        help="what it starts from (default: ImageNet's weights if they can "
        'be had)',
    )
    networks.add_argument(
        '--teacher',
        help='timm/NAME, open_clip/ARCH:TAG, mmpretrain/NAME, '
        'file/PATH.safetensors or efficientnet-lite2 (default: the best '
        'that can be had)',
    )
    networks.add_argument(
        '--method',
        default='propagated',
        help='file of configs/_base_/methods/ (default: %(default)s)',
    )
    run = parser.add_argument_group('run')
    run.add_argument(
        '--time', help='fit the epochs into this, such as 20m or 1h30m'
    )
    run.add_argument(
        '--plan',
        action='store_true',
        help='print the plan and stop; with --out the config is left there',
    )
    run.add_argument(
        '--out',
        help='where everything goes (default: an unused folder in work_dirs)',
    )
    run.add_argument(
        '--seed', type=int, default=0, help='(default: %(default)s)'
    )
    sizes = parser.add_argument_group(
        'sizes', "by default from the data's and the machine's size"
    )
    for option, kind, what in (
        ('--size', int, "side of the student's images, in pixels"),
        ('--teacher-size', int, "side of the teacher's"),
        ('--batch-size', int, 'labelled and unlabelled images together'),
        ('--epochs', int, 'of the student'),
        ('--lr', float, 'learning rate of the student'),
        ('--workers', int, 'processes that load images'),
    ):
        sizes.add_argument(option, type=kind, help=what)
    return parse(parser)


def main() -> None:
    """Distils."""
    options = vars(parse_args())
    from ..quickstart import distill

    distill(options.pop('data'), plan_only=options.pop('plan'), **options)
