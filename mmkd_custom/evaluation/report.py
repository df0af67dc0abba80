"""Finished runs side by side: a table and a picture of the curves."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import Dict, List, Sequence, Union

from rich.table import Table

from ..errors import UserError
from ..utils.files import STUDENT_FILE, load_checkpoint
from .results import read_results

ACCURACY = 'accuracy/top1'
MACRO_F1 = 'single-label/f1-score'
LABELS = {ACCURACY: 'accuracy', MACRO_F1: 'macro-F1'}
#: Accuracy hides a class that is never answered where classes are unequal.
METRICS = (MACRO_F1, ACCURACY)


def student_size(path: Union[str, Path]) -> Dict[str, float]:
    """Measures a student checkpoint.

    Args:
        path (str | Path): A ``student.pth``.

    Returns:
        dict: ``parameters`` in millions (BatchNorm statistics included) and
        ``megabytes`` of the tensors.
    """
    weights = load_checkpoint(path)['state_dict'].values()
    return dict(
        parameters=sum(w.numel() for w in weights) / 1e6,
        megabytes=sum(w.numel() * w.element_size() for w in weights) / 2**20,
    )


def results_of(runs: Dict[str, Union[str, Path]]) -> Dict[str, dict]:
    """Reads the results of several runs.

    Args:
        runs (dict[str, str | Path]): Name to work directory.

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


def comparison_table(
    runs: Dict[str, Union[str, Path]],
    metrics: Sequence[str] = METRICS,
) -> Table:
    """Puts runs side by side.

    Args:
        runs (dict[str, str | Path]): Name to work directory.
        metrics (Sequence[str]): Metrics to show, each as last and oracle.

    Returns:
        rich.table.Table: One row a run, below that of the constant answer
        where the runs tell it.
    """
    table = Table(
        title='last: after the last epoch (the result); oracle: best '
        'epoch by the test labels',
        title_justify='left',
    )
    table.add_column('method')
    for metric in metrics:
        table.add_column(
            f'{LABELS.get(metric, metric)}\nlast / oracle', justify='right'
        )
    table.add_column('minutes', justify='right')
    table.add_column('student', justify='right')
    found = results_of(runs)
    constant = next(iter(found.values())).get('constant') if found else None
    if constant:
        table.add_row(
            f'always {constant["class"]!r}',
            *(f'{constant[m]:.1f}' for m in metrics),
        )
    for name, results in found.items():
        size = student_size(Path(runs[name]) / STUDENT_FILE)
        table.add_row(
            name,
            *(
                ' / '.join(
                    # What was not finite is null in the file.
                    f'{float("nan") if value is None else value:.1f}'
                    for value in (results['last'][m], results['oracle'][m])
                )
                for m in metrics
            ),
            f'{results["wall_seconds"] / 60:.1f}',
            f'{size["parameters"]:.2f} M, {size["megabytes"]:.1f} MB',
        )
    return table


def plot_curves(
    runs: Dict[str, Union[str, Path]],
    path: Union[str, Path],
    metrics: Sequence[str] = METRICS,
) -> Path:
    """Draws each metric over the epochs of every run.

    Args:
        runs (dict[str, str | Path]): Name to work directory.
        path (str | Path): The picture, a PNG.
        metrics (Sequence[str]): One panel each.

    Returns:
        Path: The picture.
    """
    pyplot = load_pyplot()
    figure, axes = pyplot.subplots(
        1, len(metrics), figsize=(5 * len(metrics), 3.6), squeeze=False
    )
    for axis, metric in zip(axes[0], metrics):
        for name, results in results_of(runs).items():
            history: List[dict] = results['history']
            # Stages make epochs of different kinds: the share of the run is
            # what two methods have in common.
            share = [100 * e['epoch'] / results['epochs'] for e in history]
            axis.plot(
                share,
                [e[metric] for e in history],
                marker='o',
                markersize=3,
                label=name,
            )
        axis.set_xlabel('share of the run (%)')
        axis.set_ylabel(f'{LABELS.get(metric, metric)} (%)')
        axis.grid(alpha=0.3)
        axis.legend()
    figure.tight_layout()
    figure.savefig(path, dpi=120)
    pyplot.close(figure)
    return Path(path)


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
