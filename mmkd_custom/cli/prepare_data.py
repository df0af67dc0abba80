"""Checks, and unpacks, the data of a protocol such as officehome."""

from __future__ import annotations

import argparse

from ..errors import UserError
from .shared.options import parse


def parse_args() -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        'name',
        help='protocol: officehome, domainnet, pacs, office31, visda, '
        'cifar10, cifar100, imagenet',
    )
    parser.add_argument(
        '--data-root',
        help='folder with the data (default: $DATA_ROOT, else where the '
        'configs look)',
    )
    parser.add_argument(
        '--domain',
        help='only this domain; with commas between, several as one dataset',
    )
    amount = parser.add_mutually_exclusive_group()
    amount.add_argument(
        '--labels-per-class', type=int, help='labels to draw of every class'
    )
    amount.add_argument(
        '--fraction', type=float, help='share of every class to draw'
    )
    amount.add_argument(
        '--list',
        help='imagenet: list of the labelled images, such as 1percent.txt',
    )
    parser.add_argument(
        '--seed', type=int, default=0, help='seed of the draw (default: 0)'
    )
    parser.add_argument(
        '--unpack',
        action='store_true',
        help='unpack archives in or beside the folder if data is missing',
    )
    parser.add_argument(
        '--out', help='folder to write the labelled splits to, as lists'
    )
    return parse(parser)


def main() -> None:
    """Prints what is there; something missing is an error of the user's."""
    args = parse_args()
    from rich.console import Console

    from ..datasets.checking.prepare import prepare

    found = prepare(
        args.name,
        args.data_root,
        domain=args.domain,
        labels_per_class=args.labels_per_class,
        fraction=args.fraction,
        seed=args.seed,
        ann_file=args.list,
        unpack_archives=args.unpack,
        out=args.out,
    )
    # A table that is cut off or a digest that is wrapped is of no use.
    console = Console(soft_wrap=True, highlight=False)
    if found.parts:
        console.print(
            found.table(), width=max(console.width, 40 + 14 * len(found.parts))
        )
    for line in found.lines():
        print(line)
    for problem in found.problems:
        print(f'  problem: {problem}')
    if found.problems:
        raise UserError(
            f'{found.protocol.name}: {len(found.problems)} problem(s) listed '
            f'above, the first being that {found.problems[0]}; '
            f'{found.where_from()}.'
        )
    print(f'{found.protocol.title} is in place')
