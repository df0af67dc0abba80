"""A folder with everything of a student that ships, each file measured."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Dict, List, Optional, Union

import numpy as np
import torch
from mmengine.config import Config
from safetensors.torch import save

from ..errors import UserError
from ..evaluation.results import write_json
from ..utils.files import STUDENT_FILE, write_atomic
from .checkpoint import save_student
from .elsewhere import check_elsewhere
from .files import (
    Written,
    noise,
    random_images,
    write_folded,
    write_int8,
    write_onnx,
    write_runtime,
)
from .folding import Preparation, read_steps
from .images import Seen, calibration_images
from .metadata import METADATA, file_facts, metadata_of
from .parity import Parity, compare
from .place import CONFIG_FILE, SAFETENSORS_FILE, check_place, put_in
from .plain import own_parts, plain_config, text_of
from .run import Run, read_run
from .wanted import Wanted

#: Where an export of a run lies in its folder, unless another is named.
EXPORT = 'export'


def export_folder(
    work_dir: Union[str, Path],
    out: Union[str, Path, None] = None,
    checkpoint: Union[str, Path, None] = None,
    wanted: Optional[Wanted] = None,
) -> Dict[str, Any]:
    """Writes all of a run's student that ships.

    ``student.pth``, ``student.safetensors`` and ``config.py``, which a
    process without this package has tried out; what is wanted more, each
    compared with the student on the test images; at last ``metadata.json``.
    They take the place of an older export there at the end, when all of them
    have passed.

    Args:
        work_dir (str | Path): Of a finished run.
        out (str | Path, optional): The folder. Defaults to None, ``export``
            in the work directory.
        checkpoint (str | Path, optional): Of the run, finished or not.
            Defaults to None, its ``student.pth``.
        wanted (Wanted, optional): What else. Defaults to None, nothing.

    Returns:
        dict: What ``metadata.json`` holds.

    Raises:
        UserError: If the run, its classes or an option are wrong, or the
            folder holds what is of no export.
    """
    wanted = wanted or Wanted()
    wanted.check()
    out = Path(out or Path(work_dir) / EXPORT)
    check_place(out, Path(work_dir))
    run = read_run(work_dir, checkpoint, wanted)
    front = _front(run) if wanted.fold else None
    calibration = None
    if wanted.int8:
        calibration = calibration_images(run.needs_sight(), wanted.calibrate)
    with put_in(out) as made:
        return _write(run, made, front, calibration, wanted)


def _write(
    run: Run,
    out: Path,
    front: Optional[Preparation],
    calibration: Optional[Seen],
    wanted: Wanted,
) -> Dict[str, Any]:
    plain = plain_config(run.student.config, run.classes)
    needs = own_parts(plain)
    _write_plain(run, plain, out)
    checked = not needs and run.sight is not None and run.sight.colour
    if checked:
        check_elsewhere(out, run.classes, lambda path: _scores(run, path))
    files: List[Written] = []
    if wanted.networks:
        files = _write_networks(run, out, front, calibration, wanted)
    facts = metadata_of(run, needs)
    facts['checked_with_mmpretrain'] = checked
    for file, parity in zip(files, _compared(run, files)):
        first, *others = file.paths
        parity.check(first.name, file.tolerance)
        facts['files'][first.name] = {
            **file_facts(first),
            **file.facts,
            **parity.facts(),
        }
        facts['files'].update({p.name: file_facts(p) for p in others})
    for name in (STUDENT_FILE, SAFETENSORS_FILE, CONFIG_FILE):
        facts['files'][name] = file_facts(out / name)
    write_json(facts, out / METADATA)
    return facts


def _front(run: Run) -> Preparation:
    sight = run.needs_sight()
    steps = read_steps(sight.pipeline)
    kept = (3, *(steps.crop or steps.size))
    if kept != tuple(run.shape):
        raise UserError(
            f'--fold: expected images of {kept}, as the test pipeline makes '
            f'them, got {tuple(run.shape)}.'
        )
    return Preparation(steps, *sight.pixels)


def _write_plain(run: Run, plain: Config, out: Path) -> None:
    student, classes = run.student, list(run.classes)
    meta = dict(student.meta, dataset_meta=dict(classes=classes))
    save_student(student.state_dict, out / STUDENT_FILE, meta)
    weights = {k: v.contiguous() for k, v in student.state_dict.items()}
    about = dict(format='pt', classes=json.dumps(classes))
    write_atomic(out / SAFETENSORS_FILE, save(weights, about))
    write_atomic(out / CONFIG_FILE, text_of(plain).encode())


@torch.no_grad()
def _scores(run: Run, path: Path) -> np.ndarray:
    sight = run.needs_sight()
    image = sight.prepare(sight.read(dict(img_path=str(path))))
    return run.logits(torch.from_numpy(image)).softmax(1)[0].numpy()


def _write_networks(
    run: Run,
    out: Path,
    front: Optional[Preparation],
    calibration: Optional[Seen],
    wanted: Wanted,
) -> List[Written]:
    onnx = write_onnx(run.student.model, out, run.shape)
    files = [onnx]
    if calibration is not None:
        files.append(write_int8(onnx, calibration))
    if front is not None:
        files += [write_folded(file, front) for file in tuple(files)]
    for option in wanted.runtimes:
        files.append(write_runtime(option, run.logits, onnx, run.shape))
    return files


def _compared(run: Run, files: List[Written]) -> List[Parity]:
    """Compares with the student: on its test images, else on noise."""
    raw = any(file.raw for file in files)
    if run.tested is not None:
        batches, total = run.tested.batches(raw), len(run.tested)
    elif raw:
        batches, total = noise(run.needs_sight()), 2
    else:
        batches, total = random_images(run.shape), 2
    return compare(run.logits, batches, total, [file.ask for file in files])
