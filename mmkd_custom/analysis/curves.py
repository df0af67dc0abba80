"""Metrics, losses and similarities of runs, over the course of each."""

from __future__ import annotations

import math
from typing import (
    Any,
    Callable,
    Dict,
    Iterator,
    Optional,
    Sequence,
    Tuple,
)

import numpy as np

from ..evaluation.report import LABELS, shown_metrics
from .runs import Run
from .similarity_hook import CUSTOMIZED, PREFIX
from .style import INK, WIDTH, grid, label_ends, run_colours

#: Values of one run: share of the run in percent, and the value, (N,) each.
Line = Tuple[np.ndarray, np.ndarray]
#: What of a run has a value, at which share of it, and the value.
Point = Tuple[str, float, Optional[float]]

#: What a distiller calls the loss that a plain classifier calls 'loss'.
OWN_LOSS = 'loss_ce'
#: Points of a line at the most; more are averaged.
POINTS = 100
#: Losses whose largest value is this many times the smallest are drawn on a
#: logarithmic axis.
DECADE = 10
ROW = 2.3


def metric_lines(runs: Sequence[Run]) -> Dict[str, Dict[str, Line]]:
    """Collects the metrics of the evaluations that a table shows.

    Args:
        runs (Sequence[Run]): Finished runs.

    Returns:
        dict[str, dict[str, Line]]: By metric, then by run.
    """

    def points(run: Run) -> Iterator[Point]:
        epochs = run.results.get('epochs') or 1
        for entry in run.results.get('history') or ():
            for name, value in entry.items():
                if name != 'epoch':
                    yield name, 100 * entry['epoch'] / epochs, value

    found = _lines(runs, points)
    return {name: found[name] for name in shown_metrics(found)}


def loss_lines(runs: Sequence[Run]) -> Dict[str, Dict[str, Line]]:
    """Collects the losses of training, term by term, likewise.

    A plain classifier has one loss, that of its labelled images, which a
    distiller calls :data:`OWN_LOSS`.
    """

    def points(run: Run) -> Iterator[Point]:
        prefix = 'loss_' if 'loss_' in str(run.training) else 'loss'
        for row in run.training:
            for name, value in row.items():
                if name.startswith(prefix):
                    term = OWN_LOSS if name == 'loss' else name
                    yield term, run.share(row), value

    return {
        term: {name: thinned(line) for name, line in lines.items()}
        for term, lines in _lines(runs, points).items()
    }


def similarity_lines(runs: Sequence[Run]) -> Dict[str, Dict[str, Line]]:
    """Collects what a ``FeatureSimilarityHook`` has logged, likewise."""

    def points(run: Run) -> Iterator[Point]:
        for row in run.evaluations:
            for name in row:
                if name.startswith(PREFIX):
                    yield name, run.share(row), row[name]

    found = _lines(runs, points)
    # The teacher's own feature first.
    return {n: found[n] for n in sorted(found, key=lambda n: n == CUSTOMIZED)}


def _lines(
    runs: Sequence[Run], points: Callable[[Run], Iterator[Point]]
) -> Dict[str, Dict[str, Line]]:
    found: Dict[str, Dict[str, list]] = {}
    for run in runs:
        for name, *point in points(run):
            # What was not finite is null in a file of ours.
            if point[1] is not None and math.isfinite(point[1]):
                lines = found.setdefault(name, {})
                lines.setdefault(run.name, []).append(point)
    return {
        name: {run: tuple(np.array(p, float).T) for run, p in lines.items()}
        for name, lines in found.items()
    }


def thinned(line: Line, most: int = POINTS) -> Line:
    """Averages neighbours until there are at most ``most`` points."""
    size = math.ceil(len(line[0]) / most)
    cuts = np.arange(size, len(line[0]), size)
    return tuple(
        np.array([part.mean() for part in np.split(values, cuts)])
        for values in line
    )


def draw_curves(pyplot: Any, runs: Sequence[Run]) -> Optional[Any]:
    """Draws metrics by epoch, and below them each loss by iteration.

    Args:
        pyplot (ModuleType): From :func:`~.style.drawing`.
        runs (Sequence[Run]): Finished runs.

    Returns:
        Figure | None: None if the runs have logged nothing.
    """
    metrics, losses = metric_lines(runs), loss_lines(runs)
    if not metrics and not losses:
        return None
    columns = 4 if len(losses) == 4 else 3
    rows = math.ceil(len(losses) / columns)
    heights = [ROW] * bool(metrics) + [ROW * 0.9 * rows] * bool(losses)
    figure = pyplot.figure(
        figsize=(WIDTH, sum(heights) + 0.3), layout='constrained'
    )
    # Apart: names stand beside the lines of the first part alone.
    parts = figure.subfigures(len(heights), 1, height_ratios=heights)
    parts = list(np.atleast_1d(parts))
    if metrics:
        axes = parts.pop(0).subplots(1, len(metrics), squeeze=False)
        for axis, (name, lines) in zip(axes.flat, metrics.items()):
            axis.set_title(f'{LABELS.get(name, name)}, test set (%)')
            _draw(axis, runs, lines, marker='o', markersize=2.5)
            _label(axis, runs, lines, '{:.1f}')
    if losses:
        axes = parts.pop(0).subplots(rows, columns, squeeze=False)
        for axis in axes.flat[len(losses) :]:
            axis.axis('off')
        for axis, (name, lines) in zip(axes.flat, losses.items()):
            axis.set_title(name)
            _draw(axis, runs, lines)
            _scale(axis, lines)
            if not metrics:
                _label(axis, runs, lines, '{:.2g}')
    figure.supxlabel('share of the run (%)', fontsize=9.5, color=INK)
    return figure


def draw_similarity(pyplot: Any, runs: Sequence[Run]) -> Optional[Any]:
    """Draws the similarity of features over the epochs.

    Args:
        pyplot (ModuleType): From :func:`~.style.drawing`.
        runs (Sequence[Run]): Finished runs.

    Returns:
        Figure | None: None if no run has logged any.
    """
    found = similarity_lines(runs)
    if not found:
        return None
    columns = min(len(found), 2)
    width = WIDTH if columns > 1 else WIDTH / 1.6
    figure, axes = grid(pyplot, len(found), columns, 2.7, width, sharey=True)
    for axis, (name, lines) in zip(axes, found.items()):
        who = name[len(PREFIX) :]
        feature = {
            CUSTOMIZED: 'the customized feature',
            f'{PREFIX}teacher': "the teacher's feature",
        }.get(name, f'the feature of {who}')
        axis.set_title(f'student and {feature}')
        _draw(axis, runs, lines, marker='o', markersize=2.5)
        axis.set_ylim(0, 1)
        axis.set_xlabel('share of the run (%)')
        _label(axis, runs, lines, '{:.2f}')
    axes[0].set_ylabel('linear CKA')
    return figure


def _draw(
    axis: Any, runs: Sequence[Run], lines: Dict[str, Line], **options: Any
) -> None:
    for run, colour in zip(runs, run_colours(len(runs))):
        if run.name in lines:
            # The last point lies on the frame.
            axis.plot(*lines[run.name], color=colour, clip_on=False, **options)
    axis.set_xlim(0, 100)


def _scale(axis: Any, lines: Dict[str, Line]) -> None:
    values = np.concatenate([line[1] for line in lines.values()])
    if values.min() > 0 and values.max() > DECADE * values.min():
        axis.set_yscale('log')
        axis.yaxis.get_major_locator().set_params(subs=(1, 2, 5), numticks=8)
        axis.yaxis.set_major_formatter('{x:g}')
        axis.yaxis.set_minor_formatter('')
        axis.tick_params(axis='y', which='minor', length=0)
    else:
        axis.locator_params(axis='y', nbins=4)


def _label(
    axis: Any, runs: Sequence[Run], lines: Dict[str, Line], form: str
) -> None:
    ends = []
    for run, colour in zip(runs, run_colours(len(runs))):
        if run.name in lines:
            last = lines[run.name][1][-1]
            ends.append((last, f'{run.name} {form.format(last)}', colour))
    label_ends(axis, ends)
