"""All that an export reads of a run, before anything is written."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any, Dict, List, NamedTuple, Optional, Tuple, Union

import torch
from mmengine.config import Config
from mmengine.logging import print_log

from ..datasets.wrappers import pipeline_of
from ..errors import UserError
from ..evaluation.results import read_results
from ..utils.class_names import class_difference
from ..utils.files import STUDENT_FILE
from .checkpoint import RunStudent, load_student
from .image_shape import input_shape
from .images import Seen, Sight, test_images
from .onnx import Logits
from .plain import test_dataset
from .wanted import Wanted

#: Of an image, where the run does not tell and nothing depends on it.
_ANY = (3, 224, 224)


class Run(NamedTuple):
    """A run whose student is exported.

    Attributes:
        student (RunStudent): On the CPU.
        results (dict): Its ``results.json``; empty of an unfinished one.
        sight (Sight, optional): How the student sees an image; None of a run
            that was never tested.
        tested (Seen, optional): The images of its test, where they are still
            there and of the student's size.
        missing (str, optional): Why there are none.
        shape (tuple[int, int, int], optional): Channels, height and width of
            an image.
        classes (list[str]): In the order of the logits.
    """

    student: RunStudent
    results: Dict[str, Any]
    sight: Optional[Sight]
    tested: Optional[Seen]
    missing: Optional[str]
    shape: Optional[Tuple[int, int, int]]
    classes: List[str]

    @property
    def logits(self) -> Logits:
        """Logits: The student, from prepared images to logits."""
        return Logits(self.student.model).eval()

    def needs_sight(self) -> Sight:
        """Returns how the student sees an image.

        Raises:
            UserError: If nothing tells.
        """
        if self.sight is None:
            raise UserError(
                "test_dataloader: expected a test in the run's config, which "
                'tells what the student sees, got none.'
            )
        return self.sight


def read_run(
    work_dir: Union[str, Path],
    checkpoint: Union[str, Path, None],
    wanted: Wanted,
) -> Run:
    """Reads a run.

    Args:
        work_dir (str | Path): Of a finished run.
        checkpoint (str | Path, optional): Of the run, finished or not; None
            is its ``student.pth``.
        wanted (Wanted): What is to be written.

    Returns:
        Run: What it is.

    Raises:
        UserError: If it has not finished and no checkpoint is named, its
            classes are not as many as its logits or not those of the test
            images, or nothing tells the size of an image.
    """
    student, results = _student(Path(work_dir), checkpoint)
    config = student.config
    sight = Sight(config) if pipeline_of(test_dataset(config)) else None
    tested, missing = _tested(sight)
    shape = _shape(config, wanted)
    if shape and wanted.input_size and shape != input_shape(config):
        if wanted.int8:
            raise UserError(
                '--input-size: expected the size at which the student was '
                'tested, at which int8 is calibrated, got '
                f'{wanted.input_size}.'
            )
        # Their classes count all the same.
        missing = missing or 'test images have another size'
    classes = _classes(student, tested, shape or _ANY)
    seen = None if missing else tested
    return Run(student, results, sight, seen, missing, shape, classes)


def _student(
    work_dir: Path, checkpoint: Union[str, Path, None]
) -> Tuple[RunStudent, Dict[str, Any]]:
    results = read_results(work_dir)
    if results is None and checkpoint is None and work_dir.is_dir():
        raise UserError(
            f'work directory {work_dir}: expected the results.json of a '
            'finished run, got none; name a checkpoint of an unfinished one '
            'with --checkpoint.'
        )
    own = work_dir / STUDENT_FILE
    if checkpoint is None and own.is_file():
        checkpoint = own
    student = load_student(work_dir, checkpoint)
    if Path(checkpoint or own).resolve().parent != work_dir.resolve():
        # Another run's weights have not been measured here.
        results = None
    # What was measured is of the last epoch.
    epoch = student.meta.get('epoch')
    if results is not None and results.get('epochs') not in (None, epoch):
        results = dict(results, last={})
    return student, results or {}


def _tested(sight: Optional[Sight]) -> Tuple[Optional[Seen], Optional[str]]:
    """Returns the test images; or why there are none."""
    if sight is None:
        return None, 'the run has no test'
    try:
        return test_images(sight), None
    except (UserError, OSError) as error:
        print_log(f'no test images: {error}', 'current', logging.WARNING)
        return None, 'the test images are not there'


def _classes(
    student: RunStudent,
    tested: Optional[Seen],
    shape: Tuple[int, int, int],
) -> List[str]:
    """Returns the names of the student's classes.

    Raises:
        UserError: If there are not as many as it has logits, or the test
            images have others.
    """
    with torch.no_grad():
        count = Logits(student.model)(torch.zeros(1, *shape)).shape[1]
    kept = (student.meta.get('dataset_meta') or {}).get('classes')
    seen = tested.classes if tested is not None else None
    names = [str(n) for n in kept or seen or range(count)]
    if len(names) != count:
        raise UserError(
            f'classes: expected {count} names, as many as the student has '
            f'logits, got {len(names)}.'
        )
    if kept and seen:
        places = 'the student', 'the test images'
        difference = class_difference(kept, seen, places)
        if difference:
            raise UserError(
                f'classes: expected those of the student, got {difference}.'
            )
    return names


def _shape(config: Config, wanted: Wanted) -> Optional[Tuple[int, int, int]]:
    """Returns channels, height and width of an image.

    Raises:
        UserError: If a network is wanted and nothing tells.
    """
    found = input_shape(config)
    if wanted.input_size is not None:
        return (found[0] if found else 3, *wanted.input_size)
    if found is None and wanted.networks:
        raise UserError(
            "--input-size: expected it, because the run's test pipeline does "
            'not tell the size of its images.'
        )
    return found
