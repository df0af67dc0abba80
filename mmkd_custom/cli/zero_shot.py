"""Evaluates a student beside its teacher's text tower."""

import argparse
from typing import Any, Dict, List

from .shared.options import add_cfg_options, add_config, add_json, parse

#: What a line tells before its figures.
ABOUT = ('data', 'tower', 'images', 'classes')


def parse_args() -> argparse.Namespace:
    """Parses the arguments."""
    parser = argparse.ArgumentParser(
        description='Zero-shot classification by an image tower that DIME-FM '
        "distilled and the text tower of its teacher, on the config's test "
        'images or on any data sets; with --probe a linear probe on each.'
    )
    add_config(parser, 'config file of the run')
    parser.add_argument(
        'checkpoint', help="a run's checkpoint, or a plain student.pth"
    )
    parser.add_argument(
        '--classes',
        nargs='+',
        metavar='NAME',
        help='names of the classes in the order of their labels, or a text '
        "file with one a line (default: the data set's)",
    )
    parser.add_argument(
        '--templates',
        default='general',
        metavar='FILE',
        help="prompts, one a line with {} for the name, or 'general' or "
        "'diverse', the built-in ones (default: general)",
    )
    parser.add_argument(
        '--data',
        nargs='+',
        default=[],
        metavar='FOLDER',
        help='data sets, each FOLDER/{train,test}/<class>/*.jpg, or class '
        "folders alone (default: the config's test images)",
    )
    parser.add_argument(
        '--probe',
        action='store_true',
        help='also fit a linear probe to the training images of each',
    )
    parser.add_argument(
        '--with-teacher',
        action='store_true',
        help="also evaluate the teacher's own image tower, on the images of "
        "the test pipeline, which are as large as the student's",
    )
    add_json(parser, 'figures')
    add_cfg_options(parser)
    return parse(parser)


def main() -> None:
    """Evaluates and prints."""
    args = parse_args()
    from ..engine.config import load_config
    from ..errors import naming_files
    from ..evaluation.results import write_json
    from ..texts.zero_shot import zero_shot
    from ..utils.files import check_output

    if args.json:
        check_output('--json', args.json)
    with naming_files():
        rows = zero_shot(
            load_config(args.config, args.cfg_options),
            args.checkpoint,
            args.classes,
            args.templates,
            args.data,
            args.probe,
            args.with_teacher,
        )
    show(rows)
    if args.json:
        write_json(dict(rows=rows), args.json)


def show(rows: List[Dict[str, Any]]) -> None:
    """Prints a line for each data set and tower, and the mean of several."""
    from rich.console import Console
    from rich.table import Table

    kinds = {'': 'zero-shot', 'constant_': 'constant', 'probe_': 'probe'}
    kinds = {k: v for k, v in kinds.items() if f'{k}top1' in rows[0]}
    table = Table(*ABOUT)
    for name in kinds.values():
        table.add_column(f'{name} top-1', justify='right')
        table.add_column('macro-F1', justify='right')
    keys = [f'{k}{m}' for k in kinds for m in ('top1', 'macro_f1')]
    lines = list(rows)
    towers = list(dict.fromkeys(row['tower'] for row in rows))
    if len(rows) > len(towers):
        for tower in towers:
            own = [row for row in rows if row['tower'] == tower]
            means = {k: sum(r[k] for r in own) / len(own) for k in keys}
            lines.append(dict(data='mean', tower=tower, **means))
    for row in lines:
        about = (
            row.get(k, '') for k in ('data', 'tower', 'images', 'classes')
        )
        table.add_row(*map(str, about), *(f'{row[k]:.2f}' for k in keys))
    Console().print(table)
