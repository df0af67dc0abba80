"""A table of a benchmark as a picture of bars."""

from __future__ import annotations

from pathlib import Path
from typing import Union

from ..evaluation.report import load_pyplot
from .tables import MEAN, MetricTable


def plot_table(table: MetricTable, path: Union[str, Path]) -> Path:
    """Draws a table: a group of bars a task, a bar a config, std as whiskers.

    Args:
        table (MetricTable): What is drawn; what is missing has no bar.
        path (str | Path): The picture, a PNG.

    Returns:
        Path: The picture.

    Raises:
        UserError: If matplotlib is not installed.
    """
    pyplot = load_pyplot()
    columns = [*table.tasks, MEAN]
    width = 0.8 / max(len(table.rows), 1)
    figure, axis = pyplot.subplots(figsize=(2 + 1.2 * len(columns), 4))
    for number, (config, scores) in enumerate(table.rows.items()):
        there = [
            (place, scores[column])
            for place, column in enumerate(columns)
            if column in scores and scores[column].values
        ]
        axis.bar(
            [place - 0.4 + width * (number + 0.5) for place, _ in there],
            [score.mean for _, score in there],
            width,
            yerr=[score.std or 0.0 for _, score in there],
            capsize=2,
            label=config,
        )
    axis.set_xticks(range(len(columns)), columns, rotation=30, ha='right')
    axis.set_ylabel(f'{table.metric} ({table.kind})')
    axis.grid(axis='y', alpha=0.3)
    axis.set_axisbelow(True)
    axis.legend()
    figure.tight_layout()
    figure.savefig(path, dpi=120)
    pyplot.close(figure)
    return Path(path)
