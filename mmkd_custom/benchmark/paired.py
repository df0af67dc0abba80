"""Paired differences: what a row gains over another one, seed by seed."""

from __future__ import annotations

import json
from typing import (
    Dict,
    List,
    Mapping,
    NamedTuple,
    Optional,
    Sequence,
    Tuple,
)

import numpy as np
from scipy import stats

from .tables import MEAN, MISSING, Run, markdown_rows, values_of

#: Share of such intervals that hold the true difference.
LEVEL = 0.95
ABOVE = 'above'


class Difference(NamedTuple):
    """The differences of two rows.

    Args:
        values (tuple[float]): One for each seed that both have.
    """

    values: Tuple[float, ...]

    @property
    def mean(self) -> float:
        """float: Over the seeds."""
        return float(np.mean(self.values))

    @property
    def interval(self) -> Optional[Tuple[float, float]]:
        """tuple[float, float]: Student's t interval; None of one seed."""
        count = len(self.values)
        if count < 2:
            return None
        error = np.std(self.values, ddof=1) / count**0.5
        half = float(stats.t.ppf((1 + LEVEL) / 2, count - 1) * error)
        return self.mean - half, self.mean + half

    def __str__(self) -> str:
        ends = self.interval
        text = '' if ends is None else f' [{ends[0]:+.2f}, {ends[1]:+.2f}]'
        return f'{self.mean:+.2f}{text} (n={len(self.values)})'


class PairedTable(NamedTuple):
    """Differences of a metric to one row.

    Args:
        metric (str): Its name, of the results after the last epoch.
        against (str): The row that is subtracted.
        tasks (list[str]): Columns.
        rows (dict[str, dict[str, Difference]]): Config to task to difference,
            where both rows have a seed in common. ``mean`` is over the seeds
            that both have in every task: of each seed, the mean over tasks.
    """

    metric: str
    against: str
    tasks: List[str]
    rows: Dict[str, Dict[str, Difference]]

    def above(self, config: str) -> Tuple[int, int]:
        """Returns in how many cells a row is above, and of how many."""
        scores = self.rows[config]
        values = [
            value
            for task in self.tasks
            for value in (scores[task].values if task in scores else ())
        ]
        return sum(value > 0 for value in values), len(values)

    def markdown(self) -> str:
        """Returns a table in Markdown, with a line that says what it is."""
        columns = [*self.tasks, MEAN]
        lines = [
            ['config', *columns, ABOVE],
            ['---', *['---:'] * (len(columns) + 1)],
        ]
        for config, scores in self.rows.items():
            found = [str(scores.get(column, MISSING)) for column in columns]
            above, count = self.above(config)
            lines.append([config, *found, f'{above} of {count}'])
        return (
            f'{self.metric}, last, less that of {self.against} with the same '
            f'task and seed: mean [{LEVEL:.0%} t interval over n seeds]; '
            f'{MEAN}: over seeds, of the mean over all tasks; {ABOVE}: in how '
            'many runs it is higher.\n\n' + markdown_rows(lines)
        )

    def files(self) -> Tuple[str, Dict[str, str]]:
        """Returns the name of its files, and the text of each by ending."""
        texts = dict(md=self.markdown(), json=self._json())
        return f'{self.metric}.last.against_{self.against}', texts

    def _json(self) -> str:
        rows: Dict[str, dict] = {}
        for config, scores in self.rows.items():
            rows[config] = {
                column: dict(
                    n=len(score.values),
                    mean=score.mean,
                    interval=score.interval,
                )
                for column, score in scores.items()
            }
            rows[config][ABOVE] = dict(zip(('runs', 'of'), self.above(config)))
        content = dict(metric=self.metric, against=self.against, level=LEVEL)
        return json.dumps(dict(content, rows=rows), indent=2) + '\n'


def paired_tables(
    runs: Sequence[Run], results: Mapping[Run, dict], against: str
) -> List[PairedTable]:
    """Compares each row with one of them.

    Args:
        runs (Sequence[Run]): All that the benchmark consists of.
        results (Mapping[Run, dict]): Content of ``results.json`` of those that
            have finished.
        against (str): The config whose values are subtracted.

    Returns:
        list[PairedTable]: One for each metric that both of any pair have.
    """
    metrics = dict.fromkeys(
        metric
        for run in runs
        for metric in results.get(run, {}).get('last') or {}
    )
    tables = []
    for metric in metrics:
        values = values_of(metric, 'last', runs, results)
        pairs = {
            run: value - values[run._replace(config=against)]
            for run, value in values.items()
            if run.config != against and run._replace(config=against) in values
        }
        if pairs:
            tables.append(_table(metric, against, runs, pairs))
    return tables


def _table(
    metric: str, against: str, runs: Sequence[Run], pairs: Dict[Run, float]
) -> PairedTable:
    tasks = list(dict.fromkeys(run.task for run in runs))
    rows = {}
    for config in dict.fromkeys(run.config for run in runs):
        own = {run: v for run, v in pairs.items() if run.config == config}
        scores: Dict[str, Difference] = {}
        for task in tasks:
            there = tuple(v for run, v in own.items() if run.task == task)
            if there:
                scores[task] = Difference(there)
        # A mean over other tasks is not comparable.
        seeds = [
            [own[Run(config, task, seed)] for task in tasks]
            for seed in dict.fromkeys(run.seed for run in own)
            if all(Run(config, task, seed) in own for task in tasks)
        ]
        if seeds:
            scores[MEAN] = Difference(tuple(map(float, np.mean(seeds, 1))))
        if config != against:
            rows[config] = scores
    return PairedTable(metric, against, tasks, rows)
