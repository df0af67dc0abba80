"""Which runs a benchmark of configs x tasks x seeds consists of."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import (
    Any,
    Dict,
    List,
    Mapping,
    Optional,
    Sequence,
    Tuple,
)

from ..engine.arguments import parse_options
from ..errors import UserError
from ..evaluation.results import read_results
from ..utils.files import load_checkpoint
from ..utils.runs import differing, latest_checkpoint, left_by_run, run_of
from .kept import (
    SETTINGS,
    Line,
    differing_part,
    line_of,
    read_lines,
    results_of,
    settings_digest,
)
from .tables import KINDS, Run
from .wanted import wanted_run

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
        kept (Mapping, optional): Its results, if the CSV has them: then it
            has finished, whatever its work directory holds. Defaults to None.
    """

    run: Run
    config: Path
    variables: Tuple[Tuple[str, str], ...]
    work_dir: Path
    wanted: Mapping[str, Any] = field(default_factory=dict, compare=False)
    overwrite: bool = False
    kept: Optional[Mapping[str, Any]] = field(default=None, compare=False)

    def __str__(self) -> str:
        return str(self.run)

    @property
    def log(self) -> Path:
        """Path: What its process says, all attempts one after the other."""
        return self.work_dir / LOG_FILE

    def results(self) -> Optional[dict]:
        """Returns its results, None if it has not finished.

        Raises:
            UserError: If its ``results.json`` is damaged or that of another
                run, unless that may be deleted.
        """
        if self.kept is not None:
            return dict(self.kept)
        found = self._read()
        other = found and differing(found, self.wanted, length=True)
        if other:
            self._refuse(other)
            return None
        return found

    def line(self) -> Optional[Line]:
        """Returns its line of the CSV, None if it has not finished."""
        found = self.results()
        if found is None:
            return None
        return line_of(self.run, found, settings_digest(self.wanted))

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
    tasks: Sequence[Mapping[str, str]],
    seeds: Sequence[int],
    work_dir: Path,
    options: Sequence[str] = (),
    overwrite: bool = False,
    csv: Optional[Path] = None,
) -> List[Cell]:
    """Lays out a benchmark and checks that every run of it is another one.

    Args:
        configs (Sequence[Path]): Config files.
        tasks (Sequence[Mapping[str, str]]): Variables of each task, such as
            SOURCE and TARGET; none leaves the task to the configs.
        seeds (Sequence[int]): Values of SEED.
        work_dir (Path): A run goes to ``<work_dir>/<config>/<task>/<seed>``.
        options (Sequence[str]): ``--cfg-options``, as ``key=value``. Defaults
            to ().
        overwrite (bool): Whether runs that are others than these may be
            deleted. Defaults to False.
        csv (Path, optional): Finished runs, see
            :mod:`mmkd_custom.benchmark.kept`. Defaults to None.

    Returns:
        list[Cell]: Config by config, task by task, seed by seed.

    Raises:
        UserError: If a config cannot be read, or does not follow the
            variables or SEED, two runs would share a folder, or a line of the
            CSV is of a run with other settings that may not be replaced.
    """
    merged = parse_options(options)
    cells: Dict[Path, Cell] = {}
    each = product(
        dict.fromkeys(map(Path, configs)),
        dict.fromkeys(tuple(sorted(task.items())) for task in tasks) or [()],
        dict.fromkeys(seeds),
    )
    lines = {} if csv is None else read_lines(csv)
    for config, task_variables, seed in each:
        variables = dict(task_variables, SEED=str(seed))
        wanted = wanted_run(config, variables, merged)
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
        run = Run(config.stem, task, seed)
        cell = Cell(
            run,
            config,
            tuple(sorted(variables.items())),
            folder,
            wanted,
            overwrite,
            _kept(lines.get(run), wanted, f'{csv}: {run}', overwrite),
        )
        other = cells.setdefault(folder, cell)
        if other is not cell:
            more = (
                'give each config a --work-dir of its own'
                if other.config != config
                else 'its task has to follow the variables of --tasks'
            )
            raise UserError(
                f'config {config}: expected a folder of its own, got {folder} '
                f'as for {other} of {other.config}; {more}.'
            )
    return list(cells.values())


def _kept(
    line: Optional[Line],
    wanted: Mapping[str, Any],
    place: str,
    overwrite: bool,
) -> Optional[Dict[str, Any]]:
    """Returns the results that a line has, if it is of the run wanted."""
    if line is None:
        return None
    other = differing_part(line[SETTINGS], settings_digest(wanted))
    if other is None:
        return results_of(line)
    if overwrite:
        return None
    raise UserError(
        f'{place}: its config has changed: {other}; undo that, delete the '
        'line, or train it anew with --overwrite.'
    )
