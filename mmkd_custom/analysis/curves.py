"""Metrics, losses and similarities of runs, over the course of each."""

from __future__ import annotations

import math
from typing import Any, Dict, List, Optional, Sequence, Tuple

import numpy as np

from ..evaluation.report import LABELS, METRICS
from .runs import Run
from .similarity_hook import CUSTOMIZED, PREFIX
from .style import INK, WIDTH, label_ends, run_colours

#: Values of one run: share of the run in percent, and the value, (N,) each.
Line = Tuple[np.ndarray, np.ndarray]

#: What a distiller calls the loss that a plain classifier calls 'loss'.
OWN_LOSS = 'loss_ce'
#: Points of a line at the most; more are averaged.
POINTS = 100
#: Losses whose largest value is this many times the smallest are drawn on a
#: logarithmic axis.
DECADE = 10
ROW = 2.3


def metric_lines(runs: Sequence[Run]) -> Dict[str, Dict[str, Line]]:
    """Collects the metrics of the evaluations.

    Args:
        runs (Sequence[Run]): Finished runs.

    Returns:
        dict[str, dict[str, Line]]: By metric, then by run: macro-F1 and
        accuracy where there are such, else the first two that there are.
    """
    found: Dict[str, Dict[str, Line]] = {}
    for run in runs:
        history = run.results.get('history') or []
        epochs = run.results.get('epochs') or 1
        names = dict.fromkeys(k for e in history for k in e if k != 'epoch')
        for name in names:
            points = [
                (100 * entry['epoch'] / epochs, entry[name])
                for entry in history
                # What was not finite is null in the file.
                if entry.get(name) is not None
            ]
            if points:
                found.setdefault(name, {})[run.name] = _line(points)
    chosen = [name for name in METRICS if name in found]
    return {name: found[name] for name in chosen or [*found][:2]}


def loss_lines(runs: Sequence[Run]) -> Dict[str, Dict[str, Line]]:
    """Collects the losses of training, term by term.

    Args:
        runs (Sequence[Run]): Finished runs.

    Returns:
        dict[str, dict[str, Line]]: By term, then by run. A plain classifier
        has one loss, that of its labelled images, which a distiller calls
        :data:`OWN_LOSS`.
    """
    found: Dict[str, Dict[str, Line]] = {}
    for run in runs:
        terms = dict.fromkeys(
            k for row in run.training for k in row if k.startswith('loss_')
        )
        for term in terms or ['loss']:
            points = [
                (run.share(row), row[term])
                for row in run.training
                if term in row and math.isfinite(row[term])
            ]
            if points:
                name = OWN_LOSS if term == 'loss' else term
                found.setdefault(name, {})[run.name] = thinned(_line(points))
    return found


def similarity_lines(runs: Sequence[Run]) -> Dict[str, Dict[str, Line]]:
    """Collects what a ``FeatureSimilarityHook`` has logged, likewise."""
    found: Dict[str, Dict[str, Line]] = {}
    for run in runs:
        rows = run.evaluations
        names = {k for row in rows for k in row if k.startswith(PREFIX)}
        # The teacher's own feature first.
        for name in sorted(names, key=lambda n: (n == CUSTOMIZED, n)):
            points = [(run.share(r), r[name]) for r in rows if name in r]
            found.setdefault(name, {})[run.name] = _line(points)
    return found


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
    rows = math.ceil(len(found) / columns)
    figure, axes = pyplot.subplots(
        *(rows, columns),
        figsize=(WIDTH if columns > 1 else WIDTH / 1.6, 2.6 * rows + 0.2),
        sharey=True,
        layout='constrained',
        squeeze=False,
    )
    for axis in axes.flat[len(found) :]:
        axis.axis('off')
    for axis, (name, lines) in zip(axes.flat, found.items()):
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
    axes[0, 0].set_ylabel('linear CKA')
    return figure


def _line(points: List[Tuple[float, float]]) -> Line:
    share, values = zip(*points)
    return np.array(share, dtype=float), np.array(values, dtype=float)


def _draw(
    axis: Any, runs: Sequence[Run], lines: Dict[str, Line], **options: Any
) -> None:
    for run, colour in zip(runs, run_colours(len(runs))):
        if run.name in lines:
            # The last point lies on the frame.
            axis.plot(*lines[run.name], color=colour, clip_on=False, **options)
    axis.set_xlim(0, 100)


def _scale(axis: Any, lines: Dict[str, Line]) -> None:
    # It may not be installed.
    from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator

    values = np.concatenate([line[1] for line in lines.values()])
    if values.min() > 0 and values.max() > DECADE * values.min():
        axis.set_yscale('log')
        axis.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5), numticks=8))
        axis.yaxis.set_major_formatter(FuncFormatter(lambda v, _: f'{v:g}'))
        axis.yaxis.set_minor_formatter(FuncFormatter(lambda *_: ''))
        axis.tick_params(axis='y', which='minor', length=0)
    else:
        axis.yaxis.set_major_locator(MaxNLocator(4))


def _label(
    axis: Any, runs: Sequence[Run], lines: Dict[str, Line], form: str
) -> None:
    label_ends(
        axis,
        [
            (
                lines[run.name][1][-1],
                f'{run.name} {form.format(lines[run.name][1][-1])}',
                colour,
            )
            for run, colour in zip(runs, run_colours(len(runs)))
            if run.name in lines
        ],
    )
