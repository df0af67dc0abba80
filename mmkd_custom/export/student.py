"""The student alone, as a plain MMPretrain checkpoint."""

from __future__ import annotations

import io
from collections import OrderedDict
from pathlib import Path
from typing import Any, Mapping, Optional, Tuple, Union

import torch
import torch.nn as nn
from mmengine.config import Config

from ..errors import UserError
from ..evaluation.summary import read_results
from ..files import (
    STUDENT_FILE,
    load_checkpoint,
    mismatches,
    write_atomic,
)
from ..registry import MODELS
from ..runs import latest_checkpoint

PREFIX = 'student.'

#: What of a checkpoint's ``meta`` describes the student and not its training:
#: the config, which names the teacher, stays behind.
KEPT_META = ('epoch', 'iter', 'seed', 'dataset_meta', 'mmengine_version')


def student_state_dict(
    checkpoint: Mapping[str, Any],
) -> 'OrderedDict[str, torch.Tensor]':
    """Takes the student's weights out of a distiller's.

    Args:
        checkpoint (Mapping): A checkpoint with ``state_dict``, or a state
            dict itself.

    Returns:
        OrderedDict[str, Tensor]: The weights under ``student.``, without that
        prefix; all of them when there is no such key, since then it is a
        plain classifier's already.
    """
    state_dict = checkpoint.get('state_dict', checkpoint)
    student = OrderedDict(
        (key[len(PREFIX) :], value)
        for key, value in state_dict.items()
        if key.startswith(PREFIX)
    )
    return student or OrderedDict(state_dict)


def save_student(
    state_dict: Mapping[str, torch.Tensor],
    path: Union[str, Path],
    meta: Optional[Mapping[str, Any]] = None,
) -> None:
    """Writes a checkpoint that MMPretrain loads without this package.

    It holds tensors and plain Python values only, so ``torch.load`` reads it
    with ``weights_only=True``, and it is written beside its destination and
    renamed over it, so it is whole or not there.

    Args:
        state_dict (Mapping[str, Tensor]): Weights of the plain student, of
            any shapes.
        path (str | Path): The file to write.
        meta (Mapping, optional): Plain values; numpy numbers and arrays are
            turned into such. Defaults to None.

    Raises:
        TypeError: If ``meta`` holds any other object.
        UserError: If the folder is missing or cannot be written.
    """
    path = Path(path)
    # A copy: a view would take its whole storage along into the file.
    weights = OrderedDict(
        (key, value.detach().cpu().clone())
        for key, value in state_dict.items()
    )
    buffer = io.BytesIO()
    torch.save(dict(state_dict=weights, meta=_plain(meta or {})), buffer)
    try:
        write_atomic(path, buffer.getvalue())
    except OSError as error:
        raise UserError(
            f'student checkpoint {path}: cannot be written '
            f'({error.strerror}); a file in an existing writable folder is '
            'wanted.'
        ) from error


def export_student(
    work_dir: Union[str, Path],
    out: Union[str, Path, None] = None,
    checkpoint: Union[str, Path, None] = None,
) -> Path:
    """Writes the student of a run as a plain checkpoint.

    Args:
        work_dir (str | Path): Work directory of the run.
        out (str | Path, optional): The file to write. Defaults to
            ``student.pth`` in ``work_dir``.
        checkpoint (str | Path, optional): The checkpoint to take it from.
            Defaults to the newest in ``work_dir``.

    Returns:
        Path: The file that was written.

    Raises:
        UserError: If the work directory or the checkpoint is missing, the
            checkpoint is damaged, or one of a later epoch has become the
            work directory's student already and ``out`` is not given.
    """
    work_dir = Path(work_dir)
    if not work_dir.is_dir():
        raise UserError(
            f'work directory {work_dir}: there is no such '
            'folder, but the folder of a finished run is wanted.'
        )
    if checkpoint is None:
        checkpoint = latest_checkpoint(work_dir, strict=True)
        if checkpoint is None:
            raise UserError(
                f'work directory {work_dir}: holds no complete checkpoint, '
                "but a file such as 'epoch_1.pth' is wanted."
            )
    content = load_checkpoint(checkpoint)
    weights = student_state_dict(content)
    strangers = [k for k, v in weights.items() if not torch.is_tensor(v)]
    if strangers or not weights:
        raise UserError(
            f'checkpoint {checkpoint}: holds no weights'
            + (f' ({strangers[0]!r} is no tensor)' if strangers else '')
            + ", but a 'state_dict' of tensors is wanted."
        )
    meta = content.get('meta', {})
    if out is None:
        out = work_dir / STUDENT_FILE
        _check_not_older(work_dir, checkpoint, meta.get('epoch'))
    out = Path(out)
    save_student(
        weights, out, {key: meta[key] for key in KEPT_META if key in meta}
    )
    return out


def _check_not_older(
    work_dir: Path, checkpoint: Union[str, Path], epoch: Optional[int]
) -> None:
    """Refuses to put a student in the place of one that learnt more."""
    try:
        student = load_checkpoint(work_dir / STUDENT_FILE, whole=False)
        known = [(student.get('meta') or {}).get('epoch')]
    except UserError:
        # Missing or damaged: this is how to make it anew.
        known = []
    known.append((read_results(work_dir) or {}).get('epochs'))
    for later in known:
        if None not in (epoch, later) and epoch < later:
            raise UserError(
                f'checkpoint {checkpoint}: is of epoch {epoch}, but the '
                f'student of {work_dir} is one of epoch {later}; name another '
                'file with --out, or a later checkpoint with --checkpoint.'
            )


def build_student(
    work_dir: Union[str, Path], weights: Union[str, Path]
) -> Tuple[nn.Module, Optional[int]]:
    """Builds the student of a run from the config MMEngine left there.

    Args:
        work_dir (str | Path): Work directory with the config snapshot.
        weights (str | Path): A file from :func:`export_student`.

    Returns:
        tuple[nn.Module, int | None]: The plain classifier in ``eval()``, and
        the side in pixels of the images it was tested on, None when the test
        pipeline does not tell.

    Raises:
        UserError: If there is no snapshot, or the weights do not fit.
    """
    snapshots = sorted(
        Path(work_dir).glob('*.py'), key=lambda file: file.stat().st_mtime
    )
    if not snapshots:
        raise UserError(
            f'work directory {work_dir}: holds no config (*.py), '
            'but the one that MMEngine writes there is wanted.'
        )
    config = Config.fromfile(str(snapshots[-1]))
    student = MODELS.build(
        _without_downloads(config.model.get('student', config.model))
    )
    state_dict = load_checkpoint(weights)['state_dict']
    problems = mismatches(student, state_dict)
    if problems:
        raise UserError(
            f'checkpoint {weights}: does not match the student of '
            f'{snapshots[-1]} ({"; ".join(problems)}).'
        )
    student.load_state_dict(state_dict)
    return student.eval(), _test_size(config)


def _without_downloads(node: Any) -> Any:
    """Drops ``pretrained`` flags: the run's own weights are loaded."""
    if isinstance(node, Mapping):
        return {
            key: _without_downloads(value)
            for key, value in node.items()
            if key != 'pretrained'
        }
    if isinstance(node, (list, tuple)):
        return type(node)(_without_downloads(value) for value in node)
    return node


def _test_size(config: Config) -> Optional[int]:
    """Finds the side of the test images: of the last crop or resize."""
    dataset = (config.get('test_dataloader') or {}).get('dataset') or {}
    for transform in reversed(dataset.get('pipeline') or []):
        size = transform.get('crop_size', transform.get('scale'))
        if size is not None:
            return size if isinstance(size, int) else max(size)
    return None


def _plain(value: Any) -> Any:
    """Turns containers and numpy values into plain Python ones."""
    # Before the numbers: numpy's float64 is a float, and yet no plain one.
    if hasattr(value, 'tolist'):
        return value.tolist()
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    raise TypeError(
        f'meta of a student checkpoint holds a {type(value).__name__}, but '
        'plain values are wanted.'
    )
