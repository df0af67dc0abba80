"""Which runs a benchmark of configs x tasks x seeds consists of."""

from __future__ import annotations

import argparse
import json
import logging
import os
import re
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Dict, Iterator, List, Optional, Sequence, Tuple

from mmengine.config import Config, DictAction
from mmengine.logging import MMLogger

from ..errors import UserError
from ..evaluation.benchmark import KINDS, Run
from ..evaluation.summary import read_results, write_json
from ..files import differing
from .values import check_option_names

#: What a benchmark keeps of itself in its work directory.
BENCHMARK_FILE = 'benchmark.json'
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
    """

    run: Run
    config: Path
    variables: Tuple[Tuple[str, str], ...]
    work_dir: Path

    def __str__(self) -> str:
        return f'{self.run.config}, {self.run.task}, seed {self.run.seed}'

    @property
    def log(self) -> Path:
        """Path: What its process says, all attempts one after the other."""
        return self.work_dir / LOG_FILE

    def results(self) -> Optional[dict]:
        """Gives its ``results.json``, None if it has not finished.

        Raises:
            UserError: If the file is damaged, or that of another run.
        """
        try:
            found = read_results(self.work_dir)
        except ValueError as error:
            raise UserError(
                f'{self.work_dir}: its results.json cannot be read ({error}); '
                'delete it to train again.'
            ) from error
        if found is None:
            return None
        if not isinstance(found, dict) or not {*KINDS} <= found.keys():
            raise UserError(
                f'{self.work_dir}: its results.json lacks one of {KINDS}; '
                'delete it to train again.'
            )
        wanted = dict(
            config=self.config.name, seed=self.run.seed, task=self.run.task
        )
        field = differing(found, wanted)
        if field is not None:
            raise UserError(
                f'{self.work_dir}: holds a run with {field}='
                f'{found[field]!r}, but {wanted[field]!r} is wanted; choose '
                'another --work-dir or delete this folder.'
            )
        return found


def make_cells(
    configs: Sequence[Path],
    pairs: Sequence[Tuple[str, str]],
    seeds: Sequence[int],
    work_dir: Path,
    options: Sequence[str] = (),
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
                found_seed, task = _identity(config, variables, merged)
                if found_seed != seed:
                    raise UserError(
                        f'config {config}: its seed is {found_seed} and does '
                        f'not follow SEED={seed}; write seed = '
                        "{{'$SEED:0'}} as configs/_base_/default_runtime.py "
                        'does.'
                    )
                task = task or 'task'
                if names.setdefault(task, pair) != pair:
                    raise UserError(
                        f'config {config}: its task is {task!r} for several '
                        'tasks and does not follow SOURCE and TARGET.'
                    )
                folder = work_dir / config.stem / _plain(task) / str(seed)
                run = Run(config.stem, task, seed)
                cells.append(
                    Cell(run, config, tuple(sorted(variables.items())), folder)
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


def keep_options(work_dir: Path, options: Sequence[str]) -> None:
    """Notes the options of a benchmark, or refuses others than noted.

    ``results.json`` does not tell them, so runs with others would be taken
    for this benchmark's.

    Args:
        work_dir (Path): Of the benchmark; it is made.
        options (Sequence[str]): ``--cfg-options``.

    Raises:
        UserError: If they are not those of the runs there, or the note is
            damaged.
    """
    path = work_dir / BENCHMARK_FILE
    wanted = dict(cfg_options=sorted(options))
    if path.is_file():
        try:
            noted = list(map(str, json.loads(path.read_text())['cfg_options']))
        except (ValueError, KeyError, TypeError) as error:
            raise UserError(
                f'{path}: does not tell the cfg_options of the runs beside it '
                f'({type(error).__name__}: {error}); give another --work-dir.'
            ) from error
        if noted != wanted['cfg_options']:
            raise UserError(
                f'--cfg-options {" ".join(options) or "(none)"}: the runs in '
                f'{work_dir} have {" ".join(noted) or "none"}; give the same, '
                'or another --work-dir.'
            )
    else:
        work_dir.mkdir(parents=True, exist_ok=True)
        write_json(wanted, path)


def _parse_options(options: Sequence[str]) -> dict:
    parser = argparse.ArgumentParser(prog='--cfg-options')
    parser.add_argument('--options', nargs='*', action=DictAction)
    malformed = [option for option in options if '=' not in option]
    if malformed:
        raise UserError(f'--cfg-options {malformed[0]}: key=value is wanted.')
    return parser.parse_args(['--options', *options]).options or {}


def _identity(
    path: Path, variables: Dict[str, str], options: dict
) -> Tuple[object, Optional[str]]:
    """Gives seed and task of a config in an environment, no data read."""
    if not path.is_file():
        raise UserError(f'config {path}: there is no such file.')
    with _environment(variables):
        try:
            config = Config.fromfile(str(path))
            check_option_names(options, config)
            config.merge_from_dict(dict(options))
        except UserError:
            raise
        # A config is Python that the user wrote: anything can come out of it.
        except Exception as error:
            raise UserError(
                f'config {path}: cannot be read ({type(error).__name__}: '
                f'{error}).'
            ) from error
    seed = (config.get('randomness') or {}).get('seed')
    return seed, config.get('task')


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
