"""Checks a folder of domains and lists every image that cannot be read."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from mmkd_custom.datasets import check_domain_folder
from mmkd_custom.errors import UserError, run_cli


def parse_args() -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('root', help='holds <domain>/<class>/ folders')
    parser.add_argument(
        '--domains', nargs='+', help='domains to check (default: all)'
    )
    parser.add_argument(
        '--workers', type=int, help='processes (default: one a core)'
    )
    parser.add_argument(
        '--json', type=Path, help='also write the report to this file'
    )
    return parser.parse_args()


def main() -> None:
    """Prints the report; a problem is an error of the user's."""
    args = parse_args()
    if args.json and not args.json.parent.is_dir():
        raise UserError(f'--json: {args.json.parent} is no existing folder.')
    report = check_domain_folder(args.root, args.domains, args.workers)
    print(report.summary())
    if args.json:
        args.json.write_text(json.dumps(report.to_dict(), indent=2) + '\n')
    problems = report.problems()
    for problem in problems:
        print(f'  problem: {problem}')
    if problems:
        raise UserError(
            f'{report.root}: {len(problems)} problem(s) listed above, the '
            f'first being that {problems[0]}.'
        )
    print('every image can be read')


if __name__ == '__main__':
    run_cli(main)
