"""Predicts images with a student, or sorts them into class folders."""

import argparse
import sys

from ..errors import UserError
from .shared.options import parse

#: Skipped files that are named.
NAMED = 5


def parse_args() -> argparse.Namespace:
    """Parses the arguments."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        'student',
        help='folder of a finished run or of an exported student, or an ONNX '
        'file in one',
    )
    parser.add_argument(
        'images',
        nargs='+',
        metavar='IMAGE|FOLDER|GLOB',
        help='of a folder, all images below it',
    )
    parser.add_argument(
        '--onnx',
        action='store_true',
        help='run student.onnx of the folder, or of export/ in it, instead of '
        'student.pth',
    )
    parser.add_argument(
        '--json', metavar='FILE', help='write all answers to this file'
    )
    parser.add_argument('--csv', metavar='FILE', help='likewise')
    parser.add_argument(
        '--out',
        metavar='PICTURE',
        help='draw up to 40 of the images, spread evenly, with their classes',
    )
    parser.add_argument(
        '--copy-to',
        metavar='DIR',
        help='copy the images into a folder for each class of this new folder',
    )
    parser.add_argument(
        '--above',
        type=float,
        metavar='CONFIDENCE',
        help='with --copy-to: those alone whose class has at least this '
        'probability (default: 0)',
    )
    parser.add_argument(
        '--top',
        type=int,
        default=5,
        help='classes that are told of an image (default: 5)',
    )
    parser.add_argument(
        '--batch-size',
        type=int,
        default=32,
        help='images at once (default: 32)',
    )
    parser.add_argument(
        '--workers',
        type=int,
        help='processes that load images (default: one less than torch has '
        'threads, at most 4)',
    )
    parser.add_argument(
        '--strict',
        action='store_true',
        help='end with exit code 2 if a file could not be read; all others '
        'are predicted all the same',
    )
    return parse(parser)


def main() -> None:
    """Predicts, and says what came of it."""
    args = vars(parse_args())
    if args['above'] is not None and args['copy_to'] is None:
        raise UserError('--above: expected --copy-to DIR beside it, got none.')
    args['above'] = args['above'] or 0.0
    from ..prediction import predict

    # A file name need not be text; answers are printed all the same.
    sys.stdout.reconfigure(errors='backslashreplace')
    strict = args.pop('strict')
    summary = predict(**args)
    show(summary)
    for option in ('json', 'csv', 'out'):
        if args[option] is not None:
            print(f'Wrote {args[option]}')
    if args['copy_to'] is not None:
        print(f'Copied {summary.copied} images to {args["copy_to"]}')
    warn(summary, strict)


def show(summary) -> None:
    """Prints answers of a few images, else how many are of each class."""
    total = sum(summary.counts.values())
    if total <= len(summary.first):
        for answer in summary.first:
            said = ', '.join(f'{name} {p:.1%}' for name, p in answer.top)
            print(f'{answer.file.path}: {said}')
        return
    from rich.console import Console
    from rich.table import Table

    table = Table('class')
    for heading in ('images', 'mean confidence'):
        table.add_column(heading, justify='right')
    for name, count in summary.counts.most_common():
        mean = summary.confidence[name] / count
        table.add_row(name, str(count), f'{mean:.1%}')
    Console().print(table)
    rate = total / max(summary.seconds, 1e-3)
    print(f'{total} images in {summary.seconds:.1f} s, {rate:.0f} a second')


def warn(summary, strict: bool) -> None:
    """Names files that were skipped."""
    if not summary.broken:
        return
    skipped = summary.skipped[:NAMED]
    named = '; '.join(f'{each.file.path} ({each.error})' for each in skipped)
    if summary.broken > len(skipped):
        named += f'; and {summary.broken - len(skipped)} more'
    sentence = f'{summary.broken} files could not be read: {named}'
    if strict:
        raise UserError(f'--strict: expected images alone, but {sentence}.')
    print(f'warning: skipped, {sentence}', file=sys.stderr)
