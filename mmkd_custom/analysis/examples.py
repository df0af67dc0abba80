"""Test images that only one student gets right, and what each says of them."""

from __future__ import annotations

import math
from typing import Any, Sequence, Tuple

import numpy as np

from .students import Answers
from .style import GREY, SMALL, WIDTH, run_colours, short

COLUMNS = 4
#: Inches of a title, of the image below it and of a line of text below that.
TITLE, IMAGE, LINE = 0.25, 1.92, 0.165


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


def draw_some(found: np.ndarray, count: int) -> np.ndarray:
    """Draws some of the images that were found, alike every time, in order.

    At random and not by confidence, which would show the best alone.
    """
    rng = np.random.default_rng(0)
    taken = rng.choice(len(found), min(count, len(found)), replace=False)
    return found[np.sort(taken)]


def draw_examples(
    pyplot: Any,
    images: Sequence[Tuple[str, np.ndarray]],
    labels: np.ndarray,
    answers: Sequence[Answers],
    indices: Sequence[int],
    names: Sequence[str],
) -> Any:
    """Draws a contact sheet.

    Args:
        pyplot (ModuleType): From :func:`~.style.drawing`.
        images (Sequence[tuple[str, np.ndarray]]): Name and pixels (H, W, 3)
            uint8 of each image.
        labels (np.ndarray): (N,) true classes of the whole test set.
        answers (Sequence[Answers]): Of each student, likewise.
        indices (Sequence[int]): Which of it the images are.
        names (Sequence[str]): Names of the classes.

    Returns:
        Figure: The picture.
    """
    rows = math.ceil(len(images) / COLUMNS)
    below = LINE * (len(answers) + 1.5)
    height = rows * (TITLE + IMAGE + below)
    figure, axes = pyplot.subplots(
        *(rows, COLUMNS),
        figsize=(WIDTH, height),
        squeeze=False,
        gridspec_kw=dict(
            left=0.01,
            right=0.99,
            wspace=0.06,
            top=1 - TITLE / height,
            bottom=below / height,
            # A share of an image's height.
            hspace=(TITLE + below) / IMAGE,
        ),
    )
    for axis in axes.flat:
        axis.axis('off')
    for axis, (file, image), index in zip(axes.flat, images, indices):
        axis.imshow(image, interpolation='lanczos')
        axis.set_anchor('SW')
        axis.set_title(short(names[labels[index]], 24), pad=4)
        text = []
        for each, colour in zip(answers, run_colours(len(answers))):
            given = int(each.classes[index])
            sign = '✓' if given == labels[index] else '✗'
            score = 100 * each.scores[index, given]
            said = f'{short(each.run.name, 12)}: {names[given]} {score:.0f} %'
            text.append((f'{sign} {said}', colour))
        for line, (said, colour) in enumerate([*text, (file, GREY)]):
            axis.annotate(
                short(said, 30),
                (0, 0),
                xycoords='axes fraction',
                xytext=(0, -4 - 72 * LINE * line),
                textcoords='offset points',
                va='top',
                color=colour,
                fontsize=SMALL,
            )
    return figure
