"""A contact sheet: some of the images, each with its class."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, Callable, List, Union

import numpy as np
from PIL import Image, ImageOps

from ..analysis.style import GREY, INK, SMALL, WIDTH, drawing, short
from ..errors import UserError

#: Images of a sheet, at most, and of a row.
COUNT, COLUMNS = 40, 5
#: Inches of a row, and of the two lines below its images.
HEIGHT, LINES = 2.0, 0.42
#: Pixels of an image's longer side.
PIXELS = 320


class Sheet:
    """A picture of at most :data:`COUNT` images, spread evenly over all.

    Args:
        path (str | Path): The file; its ending says which kind of picture.

    Raises:
        UserError: If there is no such kind.
    """

    def __init__(self, path: Union[str, Path]) -> None:
        self.path = Path(path)
        self.answers: List[Any] = []
        if self.path.suffix.lower() not in ('.png', '.jpg', '.jpeg', '.pdf'):
            raise UserError(
                f'--out {path}: expected a picture, *.png, *.jpg or *.pdf.'
            )

    def chosen(self, total: int) -> Callable[[Any], None]:
        """Returns what takes all answers and keeps those of the sheet."""
        wanted = set(np.linspace(0, total - 1, min(COUNT, total), dtype=int))
        number = iter(range(total))

        def keep(answer: Any) -> None:
            if next(number) in wanted and answer.error is None:
                self.answers.append(answer)

        return keep

    def draw(self) -> None:
        """Opens the images, which nobody has kept, and writes the picture."""
        columns = min(COLUMNS, len(self.answers))
        rows = max(math.ceil(len(self.answers) / COLUMNS), 1)
        with drawing() as pyplot:
            figure, axes = pyplot.subplots(
                *(rows, max(columns, 1)),
                figsize=(WIDTH * max(columns, 1) / COLUMNS, rows * HEIGHT),
                squeeze=False,
                gridspec_kw=dict(
                    left=0.01,
                    right=0.99,
                    top=0.99,
                    bottom=LINES / (rows * HEIGHT),
                    wspace=0.06,
                    hspace=LINES / (HEIGHT - LINES),
                ),
            )
            for axis in axes.flat:
                axis.axis('off')
            for axis, answer in zip(axes.flat, self.answers):
                _tile(axis, answer)
            figure.savefig(self.path)


def _tile(axis: Any, answer: Any) -> None:
    with Image.open(answer.file.path) as image:
        image.draft('RGB', (PIXELS, PIXELS))
        image = ImageOps.exif_transpose(image).convert('RGB')
        image.thumbnail((PIXELS, PIXELS))
        axis.imshow(np.asarray(image))
    axis.set_anchor('SW')
    label, confidence = answer.top[0]
    # A file name need not be text.
    name = Path(answer.file.path).name.encode('utf-8', 'replace').decode()
    lines = (
        (f'{short(label, 18)} {confidence:.0%}', INK),
        (short(name, 24), GREY),
    )
    for number, (text, colour) in enumerate(lines):
        axis.annotate(
            text,
            (0, 0),
            xycoords='axes fraction',
            xytext=(0, -3 - 11.5 * number),
            textcoords='offset points',
            va='top',
            color=colour,
            fontsize=SMALL,
            fontweight='normal' if number else 'bold',
        )
