"""Command line arguments that tools share."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import Optional, Sequence

from mmengine.config import DictAction


class _Options(DictAction):
    """Names the option that has no value."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: Sequence[str],
        option_string: Optional[str] = None,
    ) -> None:
        for value in values:
            if '=' not in value:
                raise argparse.ArgumentError(
                    self, f'expected key=value, got {value!r}'
                )
        super().__call__(parser, namespace, values, option_string)


def add_cfg_options(parser: argparse.ArgumentParser) -> None:
    """Adds ``--cfg-options``, as all of OpenMMLab's tools have it.

    Args:
        parser (ArgumentParser): Gets it.
    """
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=_Options,
        help='override settings of the config, as key=value',
    )


def add_json(parser: argparse.ArgumentParser, what: str) -> None:
    """Adds ``--json``.

    Args:
        parser (ArgumentParser): Gets it.
        what (str): What the file is for, such as 'figures'.
    """
    parser.add_argument(
        '--json', type=Path, help=f'also write the {what} to this file'
    )


def parse_launched(parser: argparse.ArgumentParser) -> argparse.Namespace:
    """Parses the arguments of a tool that a job launcher may start.

    Args:
        parser (ArgumentParser): Gets ``--launcher`` and ``--local_rank``,
            which ``torch.distributed.launch`` gives in place of the variable
            LOCAL_RANK.

    Returns:
        Namespace: The arguments; LOCAL_RANK is set.
    """
    parser.add_argument(
        '--launcher',
        choices=['none', 'pytorch', 'slurm', 'mpi'],
        default='none',
        help='job launcher',
    )
    parser.add_argument('--local_rank', '--local-rank', type=int, default=0)
    args = parser.parse_args()
    os.environ.setdefault('LOCAL_RANK', str(args.local_rank))
    return args
