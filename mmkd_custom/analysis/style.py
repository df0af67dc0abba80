"""How every picture looks: colours, sizes, fonts, labels beside the lines."""

from __future__ import annotations

import math
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Iterator, List, Sequence, Tuple

import numpy as np

from ..evaluation.report import load_pyplot

#: Told apart with any colour vision: Okabe and Ito's eight but for black, and
#: but for their yellow, which is pale on white; then some of Tol's "muted".
COLOURS = (
    *('#0072B2', '#009E73', '#CC79A7', '#E69F00', '#56B4E9', '#D55E00'),
    *('#882255', '#332288', '#999933', '#44AA99', '#661100', '#AA4499'),
)
#: Of the run that a comparison is about, the last one.
ACCENT = '#D55E00'
INK, GREY, PALE = '#222222', '#767676', '#D9D9D9'

#: Inches. A README is about 830 pixels wide, so 10 points are 14 pixels.
WIDTH = 8.3
DPI = 150
SMALL = 8.5

_SETTINGS = {
    'figure.dpi': 100,
    'savefig.dpi': DPI,
    'savefig.facecolor': 'white',
    'font.size': 10,
    'axes.titlesize': 10.5,
    'axes.titleweight': 'bold',
    'axes.titlelocation': 'left',
    'axes.edgecolor': GREY,
    'axes.labelcolor': INK,
    'axes.spines.top': False,
    'axes.spines.right': False,
    'axes.grid': True,
    'axes.axisbelow': True,
    'grid.color': PALE,
    'grid.linewidth': 0.6,
    'text.color': INK,
    'xtick.color': GREY,
    'ytick.color': GREY,
    'xtick.labelsize': 9,
    'ytick.labelsize': 9,
    'lines.linewidth': 1.8,
    'lines.solid_capstyle': 'round',
    'legend.frameon': False,
    # The same data make the same file.
    'svg.hashsalt': 'mmkd_custom',
}


@contextmanager
def drawing() -> Iterator[Any]:
    """Has what is drawn inside the ``with`` block look as all pictures do.

    Yields:
        ModuleType: ``matplotlib.pyplot``.

    Raises:
        UserError: If matplotlib is not installed.
    """
    pyplot = load_pyplot()
    with pyplot.rc_context(_SETTINGS):
        yield pyplot
        pyplot.close('all')


def grid(
    pyplot: Any,
    count: int,
    columns: int,
    height: float,
    width: float = WIDTH,
    **options: Any,
) -> Tuple[Any, List[Any]]:
    """Makes a figure of several panels.

    Args:
        pyplot (ModuleType): From :func:`drawing`.
        count (int): Panels.
        columns (int): Panels of a row.
        height (float): Inches of a row.
        width (float): Inches of the figure. Defaults to :data:`WIDTH`.
        **options: See ``pyplot.subplots``.

    Returns:
        tuple[Figure, list[Axes]]: The figure and its panels.
    """
    rows = math.ceil(count / columns)
    figure, axes = pyplot.subplots(
        *(rows, columns),
        figsize=(width, rows * height),
        squeeze=False,
        layout='constrained',
        **options,
    )
    for axis in axes.flat[count:]:
        axis.axis('off')
    return figure, list(axes.flat[:count])


def save(figure: Any, folder: Path, name: str) -> Path:
    """Writes a figure as PNG and as SVG.

    Args:
        figure (Figure): From inside :func:`drawing`.
        folder (Path): An existing folder.
        name (str): Name of the files, without an ending.

    Returns:
        Path: The PNG.
    """
    figure.savefig(folder / f'{name}.svg', metadata=dict(Date=None))
    path = folder / f'{name}.png'
    figure.savefig(path)
    return path


def run_colours(count: int) -> List[str]:
    """Returns a colour for each run; the last one's is :data:`ACCENT`."""
    others = [colour for colour in COLOURS if colour != ACCENT]
    return [others[i % len(others)] for i in range(count - 1)] + [ACCENT]


def short(text: str, length: int) -> str:
    """Cuts a text that is longer than ``length`` letters."""
    text = str(text)
    return text if len(text) <= length else f'{text[: length - 1]}…'


def spread(places: Sequence[float], gap: float) -> List[float]:
    """Moves places apart, as little as keeps their order and their mean.

    Args:
        places (Sequence[float]): Where labels would stand.
        gap (float): The least distance of two.

    Returns:
        list[float]: Where they stand, in the order of ``places``.
    """
    order = np.argsort(places, kind='stable')
    wanted = np.asarray(places, dtype=float)[order]
    moved = wanted.copy()
    for i in range(1, len(moved)):
        moved[i] = max(moved[i], moved[i - 1] + gap)
    moved += (wanted - moved).mean() if len(moved) else 0.0
    found = np.empty_like(moved)
    found[order] = moved
    return found.tolist()


def label_ends(axis: Any, ends: Sequence[Tuple[float, str, str]]) -> None:
    """Writes what lines are called beside their right ends.

    Args:
        axis (Axes): With its lines drawn.
        ends (Sequence[tuple[float, str, str]]): Of each line the last value,
            the text and its colour; one that is not finite is left out.
    """
    ends = [end for end in ends if np.isfinite(end[0])]
    if not ends:
        return
    # Of a part of a figure, the whole.
    figure = axis.figure.figure
    figure.draw_without_rendering()
    height = axis.get_window_extent().height / figure.dpi * 72
    places = [
        axis.transAxes.inverted().transform(
            axis.transData.transform((axis.get_xlim()[1], value))
        )[1]
        for value, _, _ in ends
    ]
    for (_, text, colour), place in zip(ends, spread(places, 12 / height)):
        axis.annotate(
            text,
            (1.0, place),
            xycoords='axes fraction',
            xytext=(5, 0),
            textcoords='offset points',
            va='center',
            fontsize=9,
            color=colour,
            fontweight='bold',
            annotation_clip=False,
        )
