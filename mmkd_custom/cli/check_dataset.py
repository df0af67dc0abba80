"""Checks the images of a folder of domains, or of a config's datasets.

Lists images that cannot be read, missing and empty classes, and images that
are there twice: in two domains or classes, or labelled and tested on.
"""

from __future__ import annotations

import argparse
import json

from ..errors import UserError
from .shared.options import add_cfg_options, add_json, config_file, parse

#: Notes that are printed; all are in the JSON file.
NOTES = 20


def parse_args() -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        'root', nargs='?', help='holds <domain>/<class>/ folders'
    )
    parser.add_argument(
        '--config',
        type=config_file,
        help='check what the train and test datasets of this config hold',
    )
    add_cfg_options(parser)
    parser.add_argument(
        '--domains', nargs='+', help='domains to check (default: all)'
    )
    parser.add_argument(
        '--workers', type=int, help='processes (default: one a core)'
    )
    add_json(parser, 'report')
    args = parse(parser)
    if (args.root is None) == (args.config is None):
        parser.error('expected exactly one of a folder and --config')
    if args.domains and args.config:
        parser.error('--domains: expected a folder, got --config')
    if args.cfg_options and not args.config:
        parser.error('--cfg-options: expected --config, got a folder')
    return args


def main() -> None:
    """Prints the report; a problem is an error of the user's."""
    args = parse_args()
    from ..datasets.checking.check import check_domain_folder
    from ..datasets.checking.check_streams import check_streams
    from ..engine.config import load_config
    from ..engine.config_data import streams_of
    from ..utils.files import check_output

    if args.json:
        check_output('--json', args.json)
    if args.config:
        config = load_config(args.config, args.cfg_options)
        report = check_streams(args.config, streams_of(config), args.workers)
    else:
        report = check_domain_folder(args.root, args.domains, args.workers)
    print(report.summary())
    if args.json:
        args.json.write_text(json.dumps(report.to_dict(), indent=2) + '\n')
    notes, problems = report.notes(), report.problems()
    for note in notes[:NOTES]:
        print(f'  note: {note}')
    if len(notes) > NOTES:
        print(f'  {len(notes) - NOTES} more notes (--json F keeps all)')
    for problem in problems:
        print(f'  problem: {problem}')
    if problems:
        raise UserError(
            f'{report.name}: {len(problems)} problem(s) listed above, the '
            f'first being that {problems[0]}.'
        )
    print('every image can be read')
