"""Which runs a benchmark of configs x tasks x seeds consists of."""

from __future__ import annotations

import argparse
import logging
import os
import re
from contextlib import contextmanager
from dataclasses import dataclass, field
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

from mmengine.config import DictAction
from mmengine.logging import MMLogger

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
        """Gives its ``results.json``, None if it has not finished.

        Raises:
            UserError: If the file is damaged or that of another run, unless
                that may be deleted.
        """
        found = self._read()
        other = found and differing(found, self.wanted, length=True)
        if not other:
            return found
        if self.overwrite:
            return None
        raise UserError(self._other(other))

    def switches(self) -> List[str]:
        """Gives the switches of ``tools/train.py`` that train it.

        Raises:
            UserError: If another run is in its place that may not be deleted.
        """
        if self._read() is None:
            try:
                newest = latest_checkpoint(self.work_dir)
            except UserError:
                if self.overwrite:
                    return ['--overwrite']
                raise
            # An interrupted run may go on to another length.
            found = newest and load_checkpoint(newest, whole=False)
            run = run_of(found or {})
            other = differing(run, self.wanted)
        else:
            newest = self.work_dir
            other = differing(self._read(), self.wanted, length=True)
        if self.overwrite and not other and newest is None:
            # What an older run left is no run to go on with.
            other = ', '.join(p.name for p in left_by_run(self.work_dir))
        if other and not self.overwrite:
            raise UserError(self._other(other))
        return ['--overwrite'] if other else ['--resume', 'auto']

    def _other(self, other: str) -> str:
        return (
            f'{self.work_dir}: holds another run than {self}: {other}; choose '
            'another --work-dir, or train it anew with --overwrite.'
        )

    def _read(self) -> Optional[dict]:
        found = read_results(self.work_dir)
        if found is None:
            return None
        if not {*KINDS} <= found.keys():
            raise UserError(
                f'{self.work_dir}: its results.json lacks one of {KINDS}; '
                'delete it to train again.'
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
    merged = _parse_options(options)
    cells: List[Cell] = []
    for config in dict.fromkeys(map(Path, configs)):
        names: Dict[str, object] = {}
        for pair in dict.fromkeys(pairs) or [None]:
            for seed in dict.fromkeys(seeds):
                variables = dict(SEED=str(seed))
                if pair is not None:
                    variables.update(SOURCE=pair[0], TARGET=pair[1])
                wanted = _identity(config, variables, merged)
                if wanted['seed'] != seed:
                    raise UserError(
                        f'config {config}: its seed is {wanted["seed"]} and '
                        f'does not follow SEED={seed}; write seed = '
                        "{{'$SEED:0'}} as configs/_base_/default_runtime.py "
                        'does.'
                    )
                task = wanted['task'] = wanted['task'] or 'task'
                if names.setdefault(task, pair) != pair:
                    raise UserError(
                        f'config {config}: its task is {task!r} for several '
                        'tasks and does not follow SOURCE and TARGET.'
                    )
                folder = work_dir / config.stem / _plain(task) / str(seed)
                run = Run(config.stem, task, seed)
                environment = tuple(sorted(variables.items()))
                cells.append(
                    Cell(run, config, environment, folder, wanted, overwrite)
                )
    taken: Dict[Path, Cell] = {}
    for cell in cells:
        other = taken.setdefault(cell.work_dir, cell)
        if other is not cell:
            raise UserError(
                f'{cell.work_dir}: {cell.config} ({cell.run.task}) and '
                f'{other.config} ({other.run.task}) would both go there; give '
                'each a --work-dir of its own.'
            )
    return cells


def _parse_options(options: Sequence[str]) -> dict:
    parser = argparse.ArgumentParser(prog='--cfg-options')
    parser.add_argument('--options', nargs='*', action=DictAction)
    malformed = [option for option in options if '=' not in option]
    if malformed:
        raise UserError(f'--cfg-options {malformed[0]}: key=value is wanted.')
    return parser.parse_args(['--options', *options]).options or {}


def _identity(
    path: Path, variables: Dict[str, str], options: dict
) -> Dict[str, Any]:
    """Tells a config's run in an environment from others, no data read."""
    if not path.is_file():
        raise UserError(f'config {path}: there is no such file.')
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
                f'config {path}: cannot be read ({type(error).__name__}: '
                f'{error}).'
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
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _plain(task: str) -> str:
    """Names a folder after a task: 'Art->Real World' is Art-Real_World."""
    return re.sub(r'[^\w.+,-]+', '_', task.replace('->', '-')) or '_'
