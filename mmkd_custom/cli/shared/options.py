"""Options that commands share, and the end of parsing."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from ...utils.shipped import shipped_config


def config_file(word: str) -> str:
    """Is the type of an argument that names a config.

    Args:
        word (str): A path, or ``mmkd_custom::`` and the name of a shipped
            config.

    Returns:
        str: The path.
    """
    return str(shipped_config(word) or word)


def add_config(
    parser: argparse.ArgumentParser, help: str = 'config file'
) -> None:
    """Adds the argument ``config``.

    Args:
        parser (ArgumentParser): Gets it.
        help (str): What it is. Defaults to 'config file'.
    """
    parser.add_argument(
        'config',
        type=config_file,
        help=f'{help}; mmkd_custom::NAME is one that comes with the package',
    )


def add_cfg_options(parser: argparse.ArgumentParser) -> None:
    """Adds ``--cfg-options``, as all of OpenMMLab's tools have it.

    Args:
        parser (ArgumentParser): Gets it.
    """
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action='extend',
        type=_key_value,
        metavar='KEY=VALUE',
        help='override settings of the config',
    )


def _key_value(word: str) -> str:
    if '=' not in word:
        raise argparse.ArgumentTypeError(f'expected key=value, got {word!r}')
    return word


def add_json(parser: argparse.ArgumentParser, what: str) -> None:
    """Adds ``--json``.

    Args:
        parser (ArgumentParser): Gets it.
        what (str): What the file is for, such as 'figures'.
    """
    parser.add_argument(
        '--json', type=Path, help=f'also write the {what} to this file'
    )


def add_launcher(parser: argparse.ArgumentParser) -> None:
    """Adds what a job launcher gives the processes that it starts.

    Args:
        parser (ArgumentParser): Gets ``--launcher`` and ``--local_rank``,
            which ``torch.distributed.launch`` gives in place of the variable
            LOCAL_RANK.
    """
    parser.add_argument(
        '--launcher',
        choices=['none', 'pytorch', 'slurm', 'mpi'],
        default='none',
        help='job launcher',
    )
    parser.add_argument('--local_rank', '--local-rank', type=int, default=0)


def parse(parser: argparse.ArgumentParser) -> argparse.Namespace:
    """Parses the command line; libraries are imported after this alone.

    Args:
        parser (ArgumentParser): Of a command.

    Returns:
        Namespace: The arguments, ``cfg_options`` as a dict. LOCAL_RANK is
        set where there is ``--local_rank``.

    Raises:
        UserError: If a value of ``--cfg-options`` cannot be read.
    """
    args = parser.parse_args()
    if 'local_rank' in args:
        os.environ.setdefault('LOCAL_RANK', str(args.local_rank))
    if getattr(args, 'cfg_options', None) is not None:
        from ...engine.arguments import parse_options

        args.cfg_options = parse_options(args.cfg_options)
    return args
