"""Test images that only one student gets right, and what each says of them."""

from __future__ import annotations

import math
from typing import Any, List, Sequence

import numpy as np

from .students import Answers
from .style import GREY, INK, SMALL, WIDTH, run_colours, short

COLUMNS = 4
#: Inches of a line of text, and of the image above.
LINE, IMAGE = 0.165, 1.92


def only_last_right(
    labels: np.ndarray, answers: Sequence[np.ndarray]
) -> np.ndarray:
    """Finds the images that only the last student gets right.

    Args:
        labels (np.ndarray): (N,) true classes.
        answers (Sequence[np.ndarray]): (N,) classes that each gives.

    Returns:
        np.ndarray: Sorted indices.
    """
    right = [given == labels for given in answers]
    return np.flatnonzero(right[-1] & ~np.any(right[:-1], axis=0))


def draw_some(found: np.ndarray, count: int, seed: int) -> np.ndarray:
    """Draws some of the images that were found, in order.

    At random and not by confidence, which would show the best alone.
    """
    rng = np.random.default_rng(seed)
    taken = rng.choice(len(found), min(count, len(found)), replace=False)
    return found[np.sort(taken)]


def draw_examples(
    pyplot: Any,
    images: Sequence[np.ndarray],
    files: Sequence[str],
    labels: Sequence[int],
    answers: Sequence[Answers],
    indices: Sequence[int],
    names: Sequence[str],
) -> Any:
    """Draws a contact sheet.

    Args:
        pyplot (ModuleType): From :func:`~.style.drawing`.
        images (Sequence[np.ndarray]): (H, W, 3) uint8 of each image.
        files (Sequence[str]): What each is called.
        labels (Sequence[int]): True class of each.
        answers (Sequence[Answers]): Of each student, on the whole test set.
        indices (Sequence[int]): Which of it the images are.
        names (Sequence[str]): Names of the classes.

    Returns:
        Figure: The picture.
    """
    colours = run_colours(len(answers))
    rows = math.ceil(len(images) / COLUMNS)
    below = LINE * (len(answers) + 1.6)
    # Pixels are placed by hand here: tiles are all alike.
    figure = pyplot.figure(
        figsize=(WIDTH, rows * (IMAGE + LINE * 1.5 + below))
    )
    height = figure.get_size_inches()[1]
    for number, image in enumerate(images):
        row, column = divmod(number, COLUMNS)
        left = column / COLUMNS + 0.008
        top = 1 - row / rows
        width = 1 / COLUMNS - 0.016
        axis = figure.add_axes(
            (
                left,
                top - (LINE * 1.5 + IMAGE) / height,
                width,
                IMAGE / height,
            )
        )
        axis.imshow(image, interpolation='lanczos')
        axis.set_anchor('SW')
        axis.axis('off')
        lines = _lines(answers, colours, indices[number], labels[number])
        text = [(short(names[labels[number]], 24), INK, 'bold')]
        for name, colour, sign, given, score in lines:
            said = f'{sign} {name}: {names[given]} {100 * score:.0f} %'
            text.append((short(said, 33), colour, 'normal'))
        text.append((short(files[number], 33), GREY, 'normal'))
        down = LINE * 1.1
        for place, (words, colour, weight) in enumerate(text):
            figure.text(
                *(left, top - down / height, words),
                color=colour,
                fontweight=weight,
                fontsize=SMALL if place else 10,
                va='baseline',
            )
            down += LINE + (IMAGE + LINE * 0.5 if place == 0 else 0)
    return figure


def _lines(
    answers: Sequence[Answers],
    colours: Sequence[str],
    index: int,
    label: int,
) -> List[tuple]:
    lines = []
    for each, colour in zip(answers, colours):
        given = int(each.classes[index])
        sign = '✓' if given == label else '✗'
        score = each.scores[index, given]
        lines.append((short(each.run.name, 16), colour, sign, given, score))
    return lines
