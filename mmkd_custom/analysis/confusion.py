"""Which classes students confuse, and what one does better than another."""

from __future__ import annotations

import math
from typing import Any, NamedTuple, Sequence

import numpy as np
from sklearn.metrics import confusion_matrix

from .students import Answers
from .style import GREY, INK, SMALL, WIDTH, grid, short

#: More classes than this have no numbers in their cells, or no names.
NUMBERED, NAMED = 10, 40
#: Of the normal distribution, for an interval of 95 %.
QUANTILE = 1.96


class Paired(NamedTuple):
    """Two students on the same images.

    Args:
        only_first (int): Images that only the first gives the right class.
        only_second (int): Images that only the second does.
        difference (float): Accuracy of the second less that of the first, in
            points.
        margin (float): Half the width of its 95 % interval over images: what
            other test images would change, not what other seeds would.
    """

    only_first: int
    only_second: int
    difference: float
    margin: float

    def __str__(self) -> str:
        low = self.difference - self.margin
        high = self.difference + self.margin
        return (
            f'{self.difference:+.1f} points of accuracy '
            f'(95 % interval over images {low:+.1f} to {high:+.1f}), '
            f'{self.only_second} images only right in the former and '
            f'{self.only_first} only in the latter'
        )


def paired(
    labels: np.ndarray, first: np.ndarray, second: np.ndarray
) -> Paired:
    """Compares two students image by image.

    With d_i = [second right] - [first right], the interval is
    mean(d) ± 1.96 std(d) / √N.

    Args:
        labels (np.ndarray): (N,) true classes.
        first (np.ndarray): (N,) classes that the first gives.
        second (np.ndarray): (N,) classes that the second gives.

    Returns:
        Paired: What tells them apart.
    """
    gain = (second == labels).astype(int) - (first == labels)
    spread = gain.std(ddof=1) if len(gain) > 1 else math.nan
    return Paired(
        int((gain < 0).sum()),
        int((gain > 0).sum()),
        100 * float(gain.mean()),
        100 * QUANTILE * float(spread) / math.sqrt(len(gain)),
    )


def rows_of(
    labels: np.ndarray, answers: np.ndarray, classes: int
) -> np.ndarray:
    """Computes a confusion matrix whose rows sum to 100.

    Args:
        labels (np.ndarray): (N,) true classes.
        answers (np.ndarray): (N,) classes that were given.
        classes (int): Their number C.

    Returns:
        np.ndarray: (C, C) percent of the images of a class (row) that are
        given each class; NaN in the row of a class without images.
    """
    counts = confusion_matrix(labels, answers, labels=range(classes))
    totals = counts.sum(1, keepdims=True)
    return np.where(totals > 0, 100 * counts / np.maximum(totals, 1), np.nan)


def draw_confusion(
    pyplot: Any,
    labels: np.ndarray,
    answers: Sequence[Answers],
    names: Sequence[str],
) -> Any:
    """Draws the matrix of each student, and the last less the first.

    Args:
        pyplot (ModuleType): From :func:`~.style.drawing`.
        labels (np.ndarray): (N,) true classes.
        answers (Sequence[Answers]): Of each student.
        names (Sequence[str]): Names of the classes.

    Returns:
        Figure: The picture.
    """
    found = [rows_of(labels, each.classes, len(names)) for each in answers]
    titles = [short(each.run.name, 34) for each in answers]
    if len(found) > 1:
        found.append(found[-1] - found[0])
        both = f'{titles[-1]} − {titles[0]}'
        titles.append(both if len(both) < 27 else 'the last − the first')
    wide = len(names) > 8 or len(found) == 4
    columns = min(len(found), 2 if wide else 3)
    width = min(WIDTH, 4.4 * columns)
    height = width / columns + 0.8
    figure, axes = grid(pyplot, len(found), columns, height, width)
    for number, (matrix, title) in enumerate(zip(found, titles)):
        axis = axes[number]
        differs = number >= len(answers)
        _matrix(axis, matrix, differs)
        unit = 'percentage points' if differs else '% of each true class'
        axis.set_title(f'{title}\n')
        axis.text(
            *(0, 1.02, unit),
            transform=axis.transAxes,
            fontsize=SMALL,
            color=GREY,
        )
        _names(axis, names, left=number % columns == 0)
    return figure


def _matrix(axis: Any, matrix: np.ndarray, differs: bool) -> None:
    limit = 100
    if differs:
        limit = max(np.nanmax(np.abs(matrix), initial=0), 1e-9)
        axis.imshow(matrix, cmap='RdBu', vmin=-limit, vmax=limit)
    else:
        axis.imshow(matrix, cmap='Blues', vmin=0, vmax=limit)
    axis.grid(False)
    axis.spines[:].set_visible(False)
    if len(matrix) > NUMBERED:
        return
    for (row, column), value in np.ndenumerate(matrix):
        # Most cells are empty, and say so best by saying nothing.
        if not np.isfinite(value) or abs(value) < 0.5:
            continue
        text = f'{value:+.0f}' if differs else f'{value:.0f}'
        axis.text(
            *(column, row, text.replace('-', '−')),
            ha='center',
            va='center',
            fontsize=SMALL if len(text) < 4 else SMALL - 1.5,
            color='white' if abs(value) > 0.6 * limit else INK,
        )


def _names(axis: Any, names: Sequence[str], left: bool) -> None:
    axis.tick_params(length=0)
    if len(names) > NAMED:
        axis.set_xticks([])
        axis.set_yticks([])
    else:
        size = SMALL if len(names) <= 2 * NUMBERED else 6
        shown = [short(name, 14) for name in names]
        places = range(len(names))
        turned = dict(rotation=45, ha='right', rotation_mode='anchor')
        axis.set_xticks(places, shown, fontsize=size, **turned)
        axis.set_yticks(places, shown if left else [''] * len(names))
        axis.tick_params(axis='y', labelsize=size)
    axis.set_xlabel('given class', fontsize=SMALL)
    if left:
        axis.set_ylabel('true class', fontsize=SMALL)
