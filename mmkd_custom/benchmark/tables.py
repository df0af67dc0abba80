"""Many finished runs as tables: configs x tasks, mean and std over seeds."""

from __future__ import annotations

import csv
import io
import math
from pathlib import Path
from typing import (
    Any,
    Dict,
    List,
    Mapping,
    NamedTuple,
    Optional,
    Sequence,
    Tuple,
    Union,
)

import numpy as np

from ..engine.hooks.selection import SELECTION
from ..utils.files import write_atomic

#: What of a run is reported, each in files of its own: the result, and what
#: was chosen with the labels of the test images.
KINDS = ('last', 'oracle')
#: What the line above a table says of each kind.
_MEANING = {
    'last': 'after the last epoch',
    'oracle': 'best epoch by the test labels; not a result',
    SELECTION: 'measured without a label of the target, to choose by; not a '
    'result',
}
#: The row of what always answering one class scores.
CONSTANT = 'constant answer'
MEAN = 'mean'
MISSING = 'missing'


class Run(NamedTuple):
    """Names one run of a benchmark.

    Args:
        config (str): Name of the config, a row.
        task (str): Name of the task, a column.
        seed (int): Seed.
    """

    config: str
    task: str
    seed: int

    def __str__(self) -> str:
        return f'{self.config}, {self.task}, seed {self.seed}'


class Score(NamedTuple):
    """One metric over seeds.

    Args:
        values (tuple[float]): Of the seeds that are there.
        seeds (int): Number of seeds asked for.
    """

    values: tuple
    seeds: int

    @property
    def complete(self) -> bool:
        """bool: Whether every seed is there."""
        return len(self.values) == self.seeds

    @property
    def mean(self) -> Optional[float]:
        """float: Over the seeds that are there; None if none is."""
        return float(np.mean(self.values)) if self.values else None

    @property
    def std(self) -> Optional[float]:
        """float: Of the sample (n - 1); None of fewer than two."""
        several = len(self.values) > 1
        return float(np.std(self.values, ddof=1)) if several else None

    def __str__(self) -> str:
        if not self.values:
            return MISSING
        std = '' if self.std is None else f' ± {_number(self.std)}'
        wanted = '' if self.complete else f' of {self.seeds}'
        return f'{_number(self.mean)}{std} (n={len(self.values)}{wanted})'


class MetricTable(NamedTuple):
    """One metric of a benchmark.

    Args:
        metric (str): Its name, as in ``results.json``.
        kind (str): 'last', 'oracle' or 'selection'.
        tasks (list[str]): Columns.
        rows (dict[str, dict[str, Score]]): Config to task to score. ``mean``,
            the mean over tasks, is there if no run is missing: over seeds, of
            each seed's mean.
    """

    metric: str
    kind: str
    tasks: List[str]
    rows: Dict[str, Dict[str, Score]]

    def markdown(self) -> str:
        """Returns a table in Markdown, with a line that says what it is."""
        columns = [*self.tasks, MEAN]
        lines = [['config', *columns], ['---', *['---:'] * len(columns)]]
        for config, scores in self.rows.items():
            found = [str(scores.get(column, MISSING)) for column in columns]
            lines.append([config, *found])
        text = (
            f'{self.metric}, {self.kind} ({_MEANING[self.kind]}): mean ± '
            'standard deviation of the sample over n seeds.\n\n'
        )
        return text + markdown_rows(lines)

    def csv(self) -> str:
        """Returns a line a config, with mean, std and n of each column."""
        columns = [*self.tasks, MEAN]
        text = io.StringIO()
        writer = csv.writer(text, lineterminator='\n')
        parts = ('mean', 'std', 'n')
        writer.writerow(
            ['config', *(f'{c} {part}' for c in columns for part in parts)]
        )
        for config, scores in self.rows.items():
            row: List[object] = [config]
            for score in map(scores.get, columns):
                # An empty field is how tables say that there is no number.
                there = score and (score.mean, score.std, len(score.values))
                row += there or (None, None, None)
            writer.writerow(row)
        return text.getvalue()

    def files(self) -> Tuple[str, Dict[str, str]]:
        """Returns the name of its files, and the text of each by ending."""
        texts = dict(md=self.markdown(), csv=self.csv())
        return f'{self.metric}.{self.kind}', texts


def metric_tables(
    runs: Sequence[Run], results: Mapping[Run, dict]
) -> List[MetricTable]:
    """Makes the tables of every metric.

    Args:
        runs (Sequence[Run]): All that the benchmark consists of.
        results (Mapping[Run, dict]): Content of ``results.json`` of those that
            have finished.

    Returns:
        list[MetricTable]: 'last' of each metric, then 'oracle' and
        'selection' of each.
    """
    tables = []
    floor = _constant_runs(results)
    for kind in (*KINDS, SELECTION):
        # No epoch of a constant answer is the best.
        more = floor if kind == 'last' else {}
        shown, found = [*runs, *more], {**results, **more}
        metrics = dict.fromkeys(
            metric
            for run in shown
            for metric in found.get(run, {}).get(kind) or {}
            if metric != 'epoch'
        )
        tables += [_table(metric, kind, shown, found) for metric in metrics]
    return tables


def _constant_runs(results: Mapping[Run, dict]) -> Dict[Run, dict]:
    """Returns a row of runs for the constant answer, where runs tell it."""
    floor = {}
    for run, content in results.items():
        metrics = dict(content.get('constant') or {})
        if metrics:
            metrics.pop('class')
            floor[run._replace(config=CONSTANT)] = dict(last=metrics)
    return floor


def write_tables(
    tables: Sequence[Any], folder: Union[str, Path]
) -> List[Path]:
    """Writes the files of tables, such as ``<metric>.<kind>.md`` and ``.csv``.

    Args:
        tables (Sequence[MetricTable | PairedTable]): From
            :func:`metric_tables`, or of paired differences.
        folder (str | Path): Where to; it is made.

    Returns:
        list[Path]: The Markdown files.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for table in tables:
        name, files = table.files()
        for ending, text in files.items():
            path = folder / f'{name.replace("/", "_")}.{ending}'
            write_atomic(path, text.encode())
        written.append(path.with_suffix('.md'))
    return written


def _table(
    metric: str, kind: str, runs: Sequence[Run], results: Mapping[Run, dict]
) -> MetricTable:
    tasks = list(dict.fromkeys(run.task for run in runs))
    values = values_of(metric, kind, runs, results)
    rows = {}
    for config in dict.fromkeys(run.config for run in runs):
        own = [run for run in runs if run.config == config]
        scores = {}
        for task in tasks:
            wanted = [run for run in own if run.task == task]
            there = tuple(values[run] for run in wanted if run in values)
            scores[task] = Score(there, len(wanted))
        # A mean over other tasks, or other seeds, is not comparable.
        if all(s.complete and s.values for s in scores.values()):
            seeds = dict.fromkeys(run.seed for run in own)
            means = [
                float(np.mean([values[r] for r in own if r.seed == seed]))
                for seed in seeds
            ]
            scores[MEAN] = Score(tuple(means), len(means))
        rows[config] = scores
    return MetricTable(metric, kind, tasks, rows)


def values_of(
    metric: str, kind: str, runs: Sequence[Run], results: Mapping[Run, dict]
) -> Dict[Run, float]:
    """Returns one metric of the runs that have it.

    Args:
        metric (str): Its name.
        kind (str): Where it stands in the results.
        runs (Sequence[Run]): The runs.
        results (Mapping[Run, dict]): Content of ``results.json``.

    Returns:
        dict[Run, float]: To nine significant digits, wherever they come from.
    """
    found = {
        run: (results.get(run, {}).get(kind) or {}).get(metric) for run in runs
    }
    # What was not finite is null in the file.
    return {r: float(digits(v)) for r, v in found.items() if v is not None}


def digits(value: float) -> str:
    """Returns a number as it is kept: single precision and a little more."""
    return f'{value:.9g}'


def markdown_rows(lines: Sequence[Sequence[str]]) -> str:
    """Returns the rows of a Markdown table, its head and rule among them."""
    text = ''
    for line in lines:
        cells = (cell.replace('|', '\\|') for cell in line)
        text += f'| {" | ".join(cells)} |\n'
    return text


def _number(value: float) -> str:
    # Percentages and the like; what lies near 0 wants more digits.
    digits = 4 if 0 < abs(value) < 0.1 and math.isfinite(value) else 2
    return f'{value:.{digits}f}'
