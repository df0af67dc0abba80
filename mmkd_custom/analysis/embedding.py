"""Maps of features: which images lie beside which, before and after."""

from __future__ import annotations

from typing import Any, List, NamedTuple, Optional, Sequence, Tuple

import numpy as np
from sklearn.manifold import TSNE
from sklearn.neighbors import KNeighborsClassifier

from ..stages import LABELLED, UNLABELLED
from .style import COLOURS, GREY, INK, PALE, SMALL, WIDTH, grid, short

#: By stream.
MARKERS = {LABELLED: 'o', UNLABELLED: '^'}
NEIGHBOURS = 5


class Features(NamedTuple):
    """Features of some training images.

    Args:
        title (str): Whose.
        values (np.ndarray): (N, D).
        labels (np.ndarray): (N,) classes; -1 where nobody knows.
        streams (np.ndarray): (N,) names of their streams.
    """

    title: str
    values: np.ndarray
    labels: np.ndarray
    streams: np.ndarray


def embed(values: np.ndarray) -> np.ndarray:
    """Lays features out in a plane by t-SNE (van der Maaten, Hinton 2008).

    Args:
        values (np.ndarray): (N, D), N at least 4.

    Returns:
        np.ndarray: (N, 2).
    """
    perplexity = min(30.0, (len(values) - 1) / 3)
    layout = TSNE(perplexity=perplexity, init='pca', random_state=0)
    return layout.fit_transform(values.astype(np.float32))


def neighbour_accuracy(features: Features) -> Optional[float]:
    """Measures how well labelled neighbours tell unlabelled images' classes.

    Unlike the map it is measured in the feature's own space.

    Args:
        features (Features): Of both streams.

    Returns:
        float | None: Percent of the unlabelled images with a known class that
        have the class of most of their :data:`NEIGHBOURS` nearest labelled
        ones (cosine); None if there are too few of either.
    """
    known = features.labels >= 0
    ours = known & (features.streams == LABELLED)
    theirs = known & (features.streams == UNLABELLED)
    if ours.sum() < NEIGHBOURS or not theirs.any():
        return None
    votes = KNeighborsClassifier(NEIGHBOURS, metric='cosine')
    votes.fit(features.values[ours], features.labels[ours])
    right = votes.score(features.values[theirs], features.labels[theirs])
    return 100 * float(right)


def draw_maps(
    pyplot: Any,
    features: Sequence[Features],
    names: Sequence[str],
    streams: Sequence[Tuple[str, str]],
) -> Any:
    """Draws a map of each feature, its images coloured by class.

    Args:
        pyplot (ModuleType): From :func:`~.style.drawing`.
        features (Sequence[Features]): One panel each.
        names (Sequence[str]): Names of the classes.
        streams (Sequence[tuple[str, str]]): Streams and what they are called.

    Returns:
        Figure: The picture.
    """
    columns = 2 if len(features) in (2, 4) else 3
    height = WIDTH / columns * 1.08 + 0.3
    figure, axes = grid(pyplot, len(features), columns, height)
    coloured = _coloured(features, len(names))
    for axis, each in zip(axes, features):
        _map(axis, each, coloured)
    _key(pyplot, figure, coloured, names, streams)
    return figure


def _coloured(features: Sequence[Features], classes: int) -> List[int]:
    """Returns the classes that have a colour: the commonest, in order."""
    labels = np.concatenate([each.labels for each in features])
    counts = np.bincount(labels[labels >= 0], minlength=classes)
    commonest = np.argsort(-counts, kind='stable')[: len(COLOURS)]
    return sorted(int(label) for label in commonest if counts[label])


def _map(axis: Any, features: Features, coloured: List[int]) -> None:
    places = embed(features.values)
    colours = dict(zip(coloured, COLOURS))
    for stream, marker in MARKERS.items():
        of_stream = features.streams == stream
        for label in [None, *coloured]:
            if label is None:
                shown = of_stream & ~np.isin(features.labels, coloured)
            else:
                shown = of_stream & (features.labels == label)
            axis.scatter(
                *places[shown].T,
                s=13,
                marker=marker,
                color=colours.get(label, GREY),
                alpha=0.8 if label is not None else 0.35,
                linewidths=0,
            )
    accuracy = neighbour_accuracy(features)
    axis.set_title(short(features.title, 36))
    axis.set_xticks([])
    axis.set_yticks([])
    axis.grid(False)
    axis.spines[:].set(visible=True, color=PALE)
    if accuracy is not None:
        said = f'labelled neighbours: {accuracy:.0f} % right'
        axis.set_xlabel(said, fontsize=SMALL)


def _key(
    pyplot: Any,
    figure: Any,
    coloured: List[int],
    names: Sequence[str],
    streams: Sequence[Tuple[str, str]],
) -> None:
    """Marks of the streams above all maps, colours of the classes below."""

    def mark(marker: str, colour: str, label: str) -> Any:
        style = dict(ls='', marker=marker, color=colour, ms=6)
        return pyplot.Line2D([], [], label=short(label, 32), **style)

    dots = [
        mark('o', colour, names[label])
        for colour, label in zip(COLOURS, coloured)
    ]
    if len(coloured) < len(names):
        dots.append(mark('o', GREY, 'other classes'))
    marks = [mark(MARKERS[stream], INK, called) for stream, called in streams]
    options = dict(fontsize=9, handletextpad=0.1, columnspacing=1.2)
    figure.legend(
        handles=dots,
        loc='outside lower left',
        ncols=min(len(dots), 7),
        **options,
    )
    figure.legend(
        handles=marks, loc='outside upper left', ncols=len(marks), **options
    )
