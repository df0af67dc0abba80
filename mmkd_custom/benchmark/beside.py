"""Tables of what teachers score beside what their students score."""

from __future__ import annotations

import csv
import io
from typing import Dict, List, Mapping, NamedTuple, Sequence, Tuple

from ..evaluation.results import TEACHER_METRICS
from .tables import Run, Score, markdown_rows, values_of

#: Columns of a task, and where their numbers stand in the results.
_COLUMNS = {'teacher': TEACHER_METRICS, 'student': 'last'}


class BesideTable(NamedTuple):
    """One metric of teachers and of students, on the same images.

    Args:
        metric (str): Its name, as in ``results.json``.
        tasks (list[str]): Two columns each.
        rows (dict[str, dict[tuple[str, str], Score]]): Config to (task,
            'teacher' or 'student') to score.
    """

    metric: str
    tasks: List[str]
    rows: Dict[str, Dict[Tuple[str, str], Score]]

    def markdown(self) -> str:
        """Returns a table in Markdown, with a line that says what it is."""
        lines = self._lines()
        rule = ['---', *['---:'] * (len(lines[0]) - 1)]
        return (
            f'{self.metric} of the teacher and of the student after the last '
            'epoch, on the same images: mean ± standard deviation of the '
            'sample over n seeds.\n\n'
            + markdown_rows([lines[0], rule, *lines[1:]])
        )

    def files(self) -> Tuple[str, Dict[str, str]]:
        """Returns the name of its files, and the text of each by ending."""
        text = io.StringIO()
        csv.writer(text, lineterminator='\n').writerows(self._lines())
        texts = dict(md=self.markdown(), csv=text.getvalue())
        return f'{self.metric}.teacher_and_student', texts

    def _lines(self) -> List[List[str]]:
        columns = [(task, who) for task in self.tasks for who in _COLUMNS]
        lines = [['config', *(f'{task}, {who}' for task, who in columns)]]
        for config, scores in self.rows.items():
            lines.append([config, *(str(scores[c]) for c in columns)])
        return lines


def beside_tables(
    runs: Sequence[Run], results: Mapping[Run, dict]
) -> List[BesideTable]:
    """Makes a table of each metric that any teacher was measured by.

    Args:
        runs (Sequence[Run]): All that the benchmark consists of.
        results (Mapping[Run, dict]): Content of ``results.json`` of those that
            have finished.

    Returns:
        list[BesideTable]: None where no run has a ``TeacherMetricsHook``.
    """
    metrics = dict.fromkeys(
        metric
        for run in runs
        for metric in results.get(run, {}).get(TEACHER_METRICS) or {}
    )
    tasks = list(dict.fromkeys(run.task for run in runs))
    tables = []
    for metric in metrics:
        values = {
            who: values_of(metric, kind, runs, results)
            for who, kind in _COLUMNS.items()
        }
        rows: Dict[str, Dict[Tuple[str, str], Score]] = {}
        for config in dict.fromkeys(run.config for run in runs):
            for task in tasks:
                own = [r for r in runs if (r.config, r.task) == (config, task)]
                for who, known in values.items():
                    there = tuple(known[run] for run in own if run in known)
                    score = Score(there, len(own))
                    rows.setdefault(config, {})[task, who] = score
        tables.append(BesideTable(metric, tasks, rows))
    return tables
