"""Ranks students by how near they are to a teacher, untrained."""

import argparse

from .shared.options import add_cfg_options, add_config, parse


def parse_args() -> argparse.Namespace:
    """Parses the arguments."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    add_config(parser, 'config file with a teacher and training data')
    parser.add_argument(
        'students',
        nargs='+',
        help="names of MMPretrain's model zoo, such as mobilenet-v3-small or "
        'resnet18, or timm/NAME; their pretrained weights are not used',
    )
    parser.add_argument(
        '--images',
        type=int,
        default=256,
        help='training images that are looked at; no label is used',
    )
    parser.add_argument(
        '--seeds',
        type=int,
        default=3,
        help='random initialisations of each student',
    )
    parser.add_argument(
        '--batch-size', type=int, default=64, help='images at once'
    )
    add_cfg_options(parser)
    return parse(parser)


def main() -> None:
    """Ranks, and prints a table."""
    args = parse_args()
    from rich.console import Console
    from rich.table import Table

    from ..engine.config import load_config
    from ..engine.config_data import config_scope, training_data
    from ..measuring.ranking import rank_students
    from ..quickstart.students import NONE, find_student

    config = load_config(args.config, args.cfg_options)
    with config_scope(config):
        classes = len(training_data(config).CLASSES)
    students = {
        name: find_student(name, classes, NONE).model for name in args.students
    }
    table = Table('', 'student', title='Distance from the teacher, untrained')
    for column in ('parameters, M', 'distance', '±'):
        table.add_column(column, justify='right')
    ranked = rank_students(
        config, students, args.images, args.seeds, args.batch_size
    )
    for place, each in enumerate(ranked, 1):
        table.add_row(
            str(place),
            each.name,
            f'{each.parameters / 1e6:.2f}',
            f'{each.distance:.3g}',
            f'{each.spread:.2g}',
        )
    Console().print(table)
