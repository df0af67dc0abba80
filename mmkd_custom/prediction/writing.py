"""Answers into files that are whole or not there, one after the other."""

from __future__ import annotations

import csv
import json
import os
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Callable, Iterator, TextIO


@contextmanager
def write_json(path: Path) -> Iterator[Callable[[Any], None]]:
    """Opens a JSON file: a list with a dict for each image.

    ``image``, ``label``, ``confidence`` and ``top``, probabilities by class;
    or ``image`` and ``error``.

    Args:
        path (Path): The file.

    Yields:
        Callable: Takes a :class:`~.run.Prediction`.
    """
    with _replacing(path) as file:
        between = '[\n'

        def write(answer: Any) -> None:
            nonlocal between
            entry = dict(image=answer.file.path)
            if answer.error is None:
                (label, confidence), *_ = answer.top
                entry.update(
                    label=label, confidence=confidence, top=dict(answer.top)
                )
            else:
                entry.update(error=answer.error)
            file.write(between + json.dumps(entry))
            between = ',\n'

        yield write
        file.write('\n]\n')


@contextmanager
def write_csv(path: Path) -> Iterator[Callable[[Any], None]]:
    """Opens a CSV file: ``image``, ``label``, ``confidence``, ``error``.

    Args:
        path (Path): The file.

    Yields:
        Callable: Takes a :class:`~.run.Prediction`.
    """
    with _replacing(path) as file:
        rows = csv.writer(file)
        rows.writerow(('image', 'label', 'confidence', 'error'))

        def write(answer: Any) -> None:
            label, confidence = answer.top[0] if answer.top else ('', '')
            if answer.top:
                confidence = f'{confidence:.6f}'
            rows.writerow(
                (answer.file.path, label, confidence, answer.error or '')
            )

        yield write


@contextmanager
def _replacing(path: Path) -> Iterator[TextIO]:
    """Opens a file that takes the place of another when all is written."""
    temporary = path.with_name(f'.{path.name}.{os.getpid()}.tmp')
    try:
        with open(
            temporary,
            'w',
            encoding='utf-8',
            # A file name need not be text.
            errors='backslashreplace',
            newline='',
        ) as file:
            yield file
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
