"""Finished runs side by side."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import (
    Any,
    Dict,
    Iterable,
    List,
    Mapping,
    Optional,
    Sequence,
    Union,
)

from rich.table import Table

from ..errors import UserError
from ..utils.files import STUDENT_FILE, load_checkpoint
from .results import read_results

ACCURACY = 'accuracy/top1'
MACRO_F1 = 'single-label/f1-score'
LABELS = {ACCURACY: 'accuracy', MACRO_F1: 'macro-F1'}
#: Accuracy hides a class that is never answered where classes are unequal.
METRICS = (MACRO_F1, ACCURACY)


def results_of(runs: Mapping[str, Union[str, Path]]) -> Dict[str, dict]:
    """Reads the results of several runs.

    Args:
        runs (Mapping[str, str | Path]): Name to work directory.

    Returns:
        dict[str, dict]: Name to the content of ``results.json``.

    Raises:
        UserError: If a run has not finished.
    """
    found = {}
    for name, work_dir in runs.items():
        results = read_results(work_dir)
        if results is None:
            raise UserError(
                f'{work_dir}: expected a finished run, got no results.json.'
            )
        found[name] = results
    return found


def shown_metrics(names: Iterable[str]) -> List[str]:
    """Returns macro-F1 and accuracy; where neither is, the first two."""
    there = dict.fromkeys(names)
    return [m for m in METRICS if m in there] or [*there][:2]


def table_rows(
    runs: Mapping[str, Union[str, Path]],
    results: Mapping[str, Mapping[str, Any]],
    metrics: Sequence[str] = METRICS,
    kinds: Sequence[str] = ('last', 'oracle'),
) -> List[List[str]]:
    """Returns the rows of a table of runs.

    Args:
        runs (Mapping[str, str | Path]): Name to work directory.
        results (Mapping[str, Mapping]): From :func:`results_of`.
        metrics (Sequence[str]): Metrics to show.
        kinds (Sequence[str]): Each of them after the last epoch, the result,
            or of the best epoch by the test labels. Defaults to both.

    Returns:
        list[list[str]]: The constant answer where a run tells it, then the
        runs: name, metrics, minutes, size of the student.
    """
    rows = []
    constants = (found.get('constant') for found in results.values())
    constant = next(filter(None, constants), None)
    if constant:
        scores = [_number(constant.get(m)) for m in metrics]
        rows.append([f'always {constant["class"]!r}', *scores, '', ''])
    for name, found in results.items():
        shown = [found.get(kind) or {} for kind in kinds]
        scores = [
            ' / '.join(_number(kind.get(m)) for kind in shown) for m in metrics
        ]
        minutes = _number((found.get('wall_seconds') or 0) / 60)
        rows.append([name, *scores, minutes, _size(runs[name])])
    return rows


def comparison_table(runs: Mapping[str, Union[str, Path]]) -> Table:
    """Puts the results of runs side by side, macro-F1 first.

    Args:
        runs (Mapping[str, str | Path]): Name to work directory.

    Returns:
        rich.table.Table: Of :func:`table_rows`, after the last epoch.
    """
    results = results_of(runs)
    tasks = {found.get('task') for found in results.values()}
    table = Table(title=', '.join(filter(None, tasks)), title_justify='left')
    table.add_column('')
    for metric in METRICS:
        table.add_column(LABELS[metric], justify='right')
    table.add_column('minutes', justify='right')
    table.add_column('student', justify='right')
    for row in table_rows(runs, results, kinds=('last',)):
        table.add_row(*row)
    return table


def _number(value: Optional[float]) -> str:
    # What was not finite is null in the file.
    return '–' if value is None else f'{value:.1f}'


def _size(work_dir: Union[str, Path]) -> str:
    """Returns millions of parameters, statistics included, and MiB."""
    try:
        weights = load_checkpoint(Path(work_dir) / STUDENT_FILE)['state_dict']
    except UserError:
        return '–'
    tensors = weights.values()
    parameters = sum(w.numel() for w in tensors) / 1e6
    size = sum(w.numel() * w.element_size() for w in tensors) / 2**20
    return f'{parameters:.2f} M, {size:.1f} MB'


def load_pyplot() -> ModuleType:
    """Returns ``matplotlib.pyplot``, set up to write files.

    Raises:
        UserError: If it is not installed.
    """
    try:
        import matplotlib
        from matplotlib import pyplot
    except ImportError as error:
        raise UserError(
            'plots: expected matplotlib, got none; pip install '
            "'mmkd_custom[demo]'."
        ) from error
    matplotlib.use('Agg')
    return pyplot
