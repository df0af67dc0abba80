"""Which runs a benchmark of configs x tasks x seeds consists of."""

from __future__ import annotations

import argparse
import logging
import os
import re
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import (
    Any,
    Dict,
    Iterator,
    List,
    Mapping,
    Optional,
    Sequence,
    Tuple,
)

from mmengine.logging import MMLogger

from ..engine.arguments import add_cfg_options
from ..engine.config import read_config
from ..engine.identity import identity
from ..engine.values import check_option_names, check_values
from ..errors import UserError
from ..evaluation.results import read_results
from ..utils.files import load_checkpoint
from ..utils.runs import differing, latest_checkpoint, left_by_run, run_of
from .tables import KINDS, Run

LOG_FILE = 'train.log'


@dataclass(frozen=True)
class Cell:
    """One run of a benchmark.

    Args:
        run (Run): Its name: row, column and seed of the tables.
        config (Path): The config file.
        variables (tuple[tuple[str, str]]): Environment that makes the config
            that of this run.
        work_dir (Path): Where it goes.
        wanted (Mapping): What tells it from other runs, see
            :func:`~mmkd_custom.engine.identity.identity`.
        overwrite (bool): Whether another run may be deleted that is in its
            place. Defaults to False.
    """

    run: Run
    config: Path
    variables: Tuple[Tuple[str, str], ...]
    work_dir: Path
    wanted: Mapping[str, Any] = field(default_factory=dict, compare=False)
    overwrite: bool = False

    def __str__(self) -> str:
        return f'{self.run.config}, {self.run.task}, seed {self.run.seed}'

    @property
    def log(self) -> Path:
        """Path: What its process says, all attempts one after the other."""
        return self.work_dir / LOG_FILE

    def results(self) -> Optional[dict]:
        """Returns its ``results.json``, None if it has not finished.

        Raises:
            UserError: If the file is damaged or that of another run, unless
                that may be deleted.
        """
        found = self._read()
        other = found and differing(found, self.wanted, length=True)
        if other:
            self._refuse(other)
            return None
        return found

    def switches(self) -> List[str]:
        """Returns the switches of ``tools/train.py`` that train it.

        Raises:
            UserError: If another run is in its place that may not be deleted.
        """
        finished = self._read()
        if finished is not None:
            other = differing(finished, self.wanted, length=True)
        else:
            try:
                newest = latest_checkpoint(self.work_dir)
            except UserError:
                if self.overwrite:
                    return ['--overwrite']
                raise
            # An interrupted run may go on to another length.
            found = newest and load_checkpoint(newest, whole=False)
            other = differing(run_of(found or {}), self.wanted)
            if self.overwrite and newest is None:
                # What an older run left is no run to go on with.
                other = bool(left_by_run(self.work_dir))
        if not other:
            return ['--resume', 'auto']
        self._refuse(other)
        return ['--overwrite']

    def _refuse(self, other: str) -> None:
        if not self.overwrite:
            raise UserError(
                f'{self.work_dir}: holds another run than {self}: {other}; '
                'choose another --work-dir, or train it anew with --overwrite.'
            )

    def _read(self) -> Optional[dict]:
        found = read_results(self.work_dir)
        if found is None:
            return None
        if not {*KINDS} <= found.keys():
            raise UserError(
                f'{self.work_dir}: expected {KINDS} in its results.json, got '
                f'{list(found)}; delete it to train again.'
            )
        return found


def make_cells(
    configs: Sequence[Path],
    pairs: Sequence[Tuple[str, str]],
    seeds: Sequence[int],
    work_dir: Path,
    options: Sequence[str] = (),
    overwrite: bool = False,
) -> List[Cell]:
    """Lays out a benchmark and checks that every run of it is another one.

    Args:
        configs (Sequence[Path]): Config files.
        pairs (Sequence[tuple[str, str]]): Values of SOURCE and TARGET; none
            leaves the task to the configs.
        seeds (Sequence[int]): Values of SEED.
        work_dir (Path): A run goes to ``<work_dir>/<config>/<task>/<seed>``.
        options (Sequence[str]): ``--cfg-options``, as ``key=value``. Defaults
            to ().
        overwrite (bool): Whether runs that are others than these may be
            deleted. Defaults to False.

    Returns:
        list[Cell]: Config by config, task by task, seed by seed.

    Raises:
        UserError: If a config cannot be read, or does not follow SOURCE,
            TARGET and SEED, or two runs would share a folder.
    """
    parser = argparse.ArgumentParser()
    add_cfg_options(parser)
    given = ['--cfg-options', *options] if options else []
    merged = parser.parse_args(given).cfg_options or {}
    cells: Dict[Path, Cell] = {}
    each = product(
        dict.fromkeys(map(Path, configs)),
        dict.fromkeys(pairs) or [None],
        dict.fromkeys(seeds),
    )
    for config, pair, seed in each:
        variables = dict(SEED=str(seed))
        if pair is not None:
            variables.update(SOURCE=pair[0], TARGET=pair[1])
        wanted = _identity(config, variables, merged)
        if wanted['seed'] != seed:
            raise UserError(
                f'config {config}: expected a seed that follows SEED={seed}, '
                'as configs/_base_/default_runtime.py has it, got '
                f'{wanted["seed"]}.'
            )
        task = wanted['task'] = wanted['task'] or 'task'
        # A task as a folder: 'Art->Real World' is Art-Real_World.
        name = re.sub(r'[^\w.+,-]+', '_', task.replace('->', '-')) or '_'
        folder = work_dir / config.stem / name / str(seed)
        cell = Cell(
            Run(config.stem, task, seed),
            config,
            tuple(sorted(variables.items())),
            folder,
            wanted,
            overwrite,
        )
        other = cells.setdefault(folder, cell)
        if other is not cell:
            more = (
                'give each config a --work-dir of its own'
                if other.config != config
                else 'its task has to follow SOURCE and TARGET'
            )
            raise UserError(
                f'config {config}: expected a folder of its own, got {folder} '
                f'as for {other} of {other.config}; {more}.'
            )
    return list(cells.values())


def _identity(
    path: Path, variables: Dict[str, str], options: dict
) -> Dict[str, Any]:
    """Returns what tells a config's run from others, no data read."""
    if not path.is_file():
        raise UserError(f'config {path}: expected a file, got none.')
    with _environment(variables):
        try:
            config = read_config(path)
            check_option_names(options, config)
            config.merge_from_dict(dict(options))
            check_values(config)
        except UserError:
            raise
        # A config is Python that the user wrote: anything can come out of it.
        except Exception as error:
            raise UserError(
                f'config {path}: expected one that can be read, got '
                f'{type(error).__name__}: {error}.'
            ) from error
    seed = (config.get('randomness') or {}).get('seed')
    return identity(config, seed=seed, task=config.get('task'))


@contextmanager
def _environment(variables: Dict[str, str]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in variables}
    logger = MMLogger.get_current_instance()
    level = logger.level
    # MMEngine tells of every variable that it replaces, here for every run.
    logger.setLevel(logging.WARNING)
    os.environ.update(variables)
    try:
        yield
    finally:
        logger.setLevel(level)
        for name, value in before.items():
            os.environ.pop(name)
            if value is not None:
                os.environ[name] = value
