"""Predicts image files one batch after the other, and hands answers on."""

from __future__ import annotations

import time
from collections import Counter
from contextlib import ExitStack
from pathlib import Path
from typing import (
    Any,
    Callable,
    Iterator,
    List,
    NamedTuple,
    Optional,
    Sequence,
    Tuple,
    Union,
)

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from ..datasets.images import decode
from ..errors import UserError
from ..utils.files import check_output
from ..utils.progress import progress
from .files import ImageFile, check_places, find_images
from .sheet import Sheet
from .sorting import ClassFolders
from .students import Student
from .writing import write_csv, write_json

#: Of so many, what is said of each is kept to be shown.
SHOWN = 20


class Prediction(NamedTuple):
    """What was said of a file.

    Args:
        file (ImageFile): The file.
        top (list[tuple[str, float]]): The most probable classes, each with
            its probability; empty if the file could not be read.
        error (str | None): Why it could not.
    """

    file: ImageFile
    top: List[Tuple[str, float]]
    error: Optional[str] = None


class Summary(NamedTuple):
    """What came of all files.

    Args:
        counts (Counter): Images by class.
        confidence (Counter): Sum of the probabilities, by class.
        first (list[Prediction]): At most :data:`SHOWN` of the answers.
        skipped (list[Prediction]): At most as many of the files that could
            not be read.
        broken (int): How many such files there are.
        copied (int): Images that were copied into class folders.
        seconds (float): What it took, without opening the student.
    """

    counts: Counter
    confidence: Counter
    first: List[Prediction]
    skipped: List[Prediction]
    broken: int
    copied: int
    seconds: float


def predict(
    student: Union[str, Path],
    images: Sequence[Union[str, Path]],
    onnx: bool = False,
    json: Union[str, Path, None] = None,
    csv: Union[str, Path, None] = None,
    out: Union[str, Path, None] = None,
    copy_to: Union[str, Path, None] = None,
    above: float = 0.0,
    top: int = 5,
    batch_size: int = 32,
    workers: Optional[int] = None,
) -> Summary:
    """Predicts images of any number in the memory of a batch.

    A file that is no image, or is cut short, is skipped and told.

    Args:
        student (str | Path): See :class:`~.students.Student`.
        images (Sequence[str | Path]): See :func:`~.files.find_images`.
        onnx (bool): As for :class:`~.students.Student`. Defaults to False.
        json (str | Path, optional): File to write all answers to. Defaults to
            None.
        csv (str | Path, optional): Likewise. Defaults to None.
        out (str | Path, optional): Picture to draw of some images with their
            classes. Defaults to None.
        copy_to (str | Path, optional): New or empty folder that gets a folder
            of copies for each class. Defaults to None.
        above (float): Least probability of an image that is copied. Defaults
            to 0, all.
        top (int): Classes of an image that are told. Defaults to 5.
        batch_size (int): Images at once. Defaults to 32.
        workers (int, optional): Processes that load images. Defaults to
            None, one less than torch has threads, at most 4.

    Returns:
        Summary: Counts, and the first answers.

    Raises:
        UserError: If an option is out of range, the student cannot be opened,
            no image is named or none can be read, or a file cannot be
            written or would replace an image.
    """
    for option, value in (('top', top), ('batch-size', batch_size)):
        if value < 1:
            raise UserError(f'--{option}: expected >= 1, got {value}.')
    if workers is None:
        workers = min(4, torch.get_num_threads() - 1)
    if workers < 0:
        raise UserError(f'--workers: expected >= 0, got {workers}.')
    outputs = {'--json': json, '--csv': csv, '--out': out}
    for option, path in outputs.items():
        if path is not None:
            check_output(option, path)
    # All that may be wrong before the first image is looked at.
    sheet = None if out is None else Sheet(out)
    folders = None if copy_to is None else ClassFolders(copy_to, above)
    files = find_images(images)
    check_places(images, files, outputs, copy_to)
    opened = Student(student, onnx)
    if folders is not None and opened.classes:
        folders.check(opened.classes)
    start = time.monotonic()
    summary = Summary(Counter(), Counter(), [], [], 0, 0, 0.0)
    broken = copied = 0
    with ExitStack() as stack:
        writers: List[Callable[[Prediction], Any]] = []
        for write, path in ((write_json, json), (write_csv, csv)):
            if path is not None:
                writers.append(stack.enter_context(write(Path(path))))
        if sheet is not None:
            writers.append(sheet.chosen(len(files)))
        for answer in answers(opened, files, top, batch_size, workers):
            for write in writers:
                write(answer)
            if answer.error is not None:
                broken += 1
                if len(summary.skipped) < SHOWN:
                    summary.skipped.append(answer)
                continue
            label, confidence = answer.top[0]
            summary.counts[label] += 1
            summary.confidence[label] += confidence
            if len(summary.first) < SHOWN:
                summary.first.append(answer)
            copied += folders is not None and folders.put(answer)
    if not summary.counts:
        error = summary.skipped[0]
        raise UserError(
            f'{error.file.path}: expected an image, got {error.error}.'
        )
    if sheet is not None:
        sheet.draw()
    seconds = time.monotonic() - start
    return summary._replace(broken=broken, copied=copied, seconds=seconds)


def answers(
    student: Student,
    files: Sequence[ImageFile],
    top: int = 5,
    batch_size: int = 32,
    workers: int = 0,
) -> Iterator[Prediction]:
    """Yields what a student says of each file, in order.

    Args:
        student (Student): The student.
        files (Sequence[ImageFile]): Files, in whatever state.
        top (int): Classes that are told of each. Defaults to 5.
        batch_size (int): Files at once. Defaults to 32.
        workers (int): Processes that load them. Defaults to 0.
    """
    loader = DataLoader(
        _Samples(files, student.network.load),
        batch_size=batch_size,
        # A process for a handful of images costs more than it saves.
        num_workers=workers if len(files) > 2 * batch_size else 0,
        collate_fn=list,
    )
    with progress('predicting', len(files), 'images') as bar:
        for batch in loader:
            sound = [sample for _, sample, error in batch if error is None]
            said = iter(student(sound) if sound else ())
            for index, _, error in batch:
                if error is not None:
                    yield Prediction(files[index], [], error)
                    continue
                scores = next(said)
                best = np.argsort(-scores, kind='stable')[:top]
                named = [(student.classes[i], float(scores[i])) for i in best]
                yield Prediction(files[index], named)
            bar.advance(len(batch))


class _Samples(Dataset):
    """Samples of files; of a broken one, why it is."""

    def __init__(self, files: Sequence[ImageFile], load: Callable) -> None:
        self.files, self.load = files, load

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> Tuple[int, Any, Optional[str]]:
        path = self.files[index].path
        try:
            # OpenCV, which loads it for the student, fills what a file that
            # was cut short lacks with grey and says nothing.
            _, error = decode(Path(path).read_bytes())
            sample = None if error else self.load(path)
        except OSError as failure:
            error = failure.strerror or str(failure)
        except UserError as failure:
            error = str(failure)
        if error is None and sample is None:
            error = 'an image that cannot be decoded'
        return (index, None, error) if error else (index, sample, None)
