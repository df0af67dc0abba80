"""The student alone, as a plain MMPretrain checkpoint."""

from __future__ import annotations

import io
import json
from collections import OrderedDict
from pathlib import Path
from typing import Any, Dict, Mapping, NamedTuple, Optional, Union

import torch
import torch.nn as nn
from mmengine.config import Config

from ..errors import UserError
from ..evaluation.results import read_results
from ..registry import MODELS
from ..utils.files import (
    STUDENT_FILE,
    load_checkpoint,
    mismatches,
    write_atomic,
)
from ..utils.runs import latest_checkpoint

PREFIX = 'student.'

#: What a student's keys may stand behind: the distiller and what is wrapped
#: around models.
WRAPPERS = (PREFIX[:-1], 'module', '_orig_mod', 'model')

#: What of ``meta`` describes the student: the config names the teacher.
KEPT_META = ('epoch', 'iter', 'seed', 'mmengine_version')


def student_state_dict(
    checkpoint: Mapping[str, Any],
) -> 'OrderedDict[str, torch.Tensor]':
    """Takes the student's weights out of a distiller's.

    Args:
        checkpoint (Mapping): A checkpoint with ``state_dict``, or a state
            dict itself.

    Returns:
        OrderedDict[str, Tensor]: Those under ``student.``, without that
        prefix; all when there are none: a plain classifier's.
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
    with ``weights_only=True``, and it is whole or not there. Its ``meta`` has
    :data:`KEPT_META` and ``dataset_meta``, by whose ``classes`` MMPretrain's
    inferencer names what it sees.

    Args:
        state_dict (Mapping[str, Tensor]): Weights of the plain student.
        path (str | Path): The file to write.
        meta (Mapping, optional): That of a checkpoint; what describes the
            student is kept of it. Defaults to None.

    Raises:
        TypeError: If what is kept is no plain value.
        UserError: If the folder is missing or cannot be written.
    """
    path = Path(path)
    # A copy: a view would take its whole storage along into the file.
    weights = OrderedDict(
        (key, value.detach().cpu().clone())
        for key, value in state_dict.items()
    )
    meta = meta or {}
    classes = (meta.get('dataset_meta') or {}).get('classes')
    kept = {
        **{key: meta[key] for key in KEPT_META if key in meta},
        # Whatever else a dataset tells may be no plain value.
        'dataset_meta': {} if classes is None else dict(classes=classes),
    }
    buffer = io.BytesIO()
    # numpy's numbers become plain ones.
    plain = json.loads(json.dumps(kept, default=_plain))
    torch.save(dict(state_dict=weights, meta=plain), buffer)
    try:
        write_atomic(path, buffer.getvalue())
    except OSError as error:
        raise UserError(
            f'student checkpoint {path}: expected a file in an existing '
            f'writable folder, got {error.strerror}.'
        ) from error


class RunStudent(NamedTuple):
    """The student of a run.

    Args:
        model (nn.Module): The plain classifier in ``eval()``.
        state_dict (OrderedDict[str, Tensor]): Its weights as the checkpoint
            has them.
        meta (dict): What the checkpoint says of it.
        config (Config): The run's.
        work_dir (Path): The run's.
    """

    model: nn.Module
    state_dict: 'OrderedDict[str, torch.Tensor]'
    meta: Dict[str, Any]
    config: Config
    work_dir: Path

    def save(self, out: Union[str, Path, None] = None) -> Path:
        """Writes it as a plain checkpoint, see :func:`save_student`.

        Args:
            out (str | Path, optional): The file. Defaults to None,
                ``student.pth`` in the work directory.

        Returns:
            Path: The file.

        Raises:
            UserError: If it cannot be written, or, without ``out``, one of a
                later epoch is the work directory's student already.
        """
        if out is None:
            out = self.work_dir / STUDENT_FILE
            _check_not_older(self.work_dir, self.meta.get('epoch'))
        save_student(self.state_dict, out, self.meta)
        return Path(out)


def load_student(
    work_dir: Union[str, Path], checkpoint: Union[str, Path, None] = None
) -> RunStudent:
    """Builds the student of a run from what the run left in its folder.

    Args:
        work_dir (str | Path): Work directory of the run, with the config
            that MMEngine leaves there.
        checkpoint (str | Path, optional): Of the run, or its ``student.pth``.
            Defaults to the newest complete one in ``work_dir``.

    Returns:
        RunStudent: With the weights of the checkpoint.

    Raises:
        UserError: If the work directory, config or checkpoint is missing, the
            checkpoint is damaged, or its keys and shapes are not those of the
            config's student.
    """
    work_dir = Path(work_dir)
    if not work_dir.is_dir():
        raise UserError(
            f'work directory {work_dir}: expected the folder of a finished '
            'run, got none.'
        )
    # A fallback would be another student than was asked for.
    checkpoint = checkpoint or latest_checkpoint(work_dir, strict=True)
    if checkpoint is None:
        raise UserError(
            f'work directory {work_dir}: expected a complete checkpoint such '
            "as 'epoch_1.pth', got none."
        )
    content = load_checkpoint(checkpoint)
    weights = content.get('state_dict', content)
    strangers = [k for k, v in weights.items() if not torch.is_tensor(v)]
    if strangers or not weights:
        raise UserError(
            f"checkpoint {checkpoint}: expected a 'state_dict' of tensors, "
            f'got {strangers[:3] or "nothing"}.'
        )
    meta = content.get('meta', {})
    snapshot = _snapshot(work_dir, meta.get('cfg'))
    config = Config.fromfile(str(snapshot))
    model = MODELS.build(
        _without_downloads(config.model.get('student', config.model))
    )
    state_dict = _unwrapped(weights, model)
    if state_dict is None:
        problems = mismatches(model, student_state_dict(weights))
        raise UserError(
            f'checkpoint {checkpoint}: expected the student of {snapshot}, '
            f'got {"; ".join(problems)}.'
        )
    model.load_state_dict(state_dict)
    return RunStudent(model.eval(), state_dict, meta, config, work_dir)


def export_student(
    work_dir: Union[str, Path],
    out: Union[str, Path, None] = None,
    checkpoint: Union[str, Path, None] = None,
) -> Path:
    """Writes the student of a run as a plain checkpoint.

    Args:
        work_dir (str | Path): As for :func:`load_student`.
        out (str | Path, optional): As for :meth:`RunStudent.save`.
        checkpoint (str | Path, optional): As for :func:`load_student`.

    Returns:
        Path: The file that was written.

    Raises:
        UserError: As both.
    """
    return load_student(work_dir, checkpoint).save(out)


def _check_not_older(work_dir: Path, epoch: Optional[int]) -> None:
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
                f'{work_dir / STUDENT_FILE}: expected a checkpoint of epoch '
                f'{later}, as this student is, got one of epoch {epoch}; '
                'name another file with --out, or a later checkpoint with '
                '--checkpoint.'
            )


def _snapshot(work_dir: Path, text: Optional[str]) -> Path:
    """Finds the config of a run: the one that a checkpoint quotes, if any."""
    snapshots = sorted(
        work_dir.glob('*.py'), key=lambda file: file.stat().st_mtime
    )
    if not snapshots:
        raise UserError(
            f'work directory {work_dir}: expected the config (*.py) that '
            'MMEngine writes there, got none.'
        )
    # Its text is compared and not run: a checkpoint is no program.
    quoted = [p for p in snapshots if p.read_text(encoding='utf-8') == text]
    return (quoted or snapshots)[-1]


def _unwrapped(
    weights: Mapping[str, torch.Tensor], model: nn.Module
) -> 'Optional[OrderedDict[str, torch.Tensor]]':
    """Takes a prefix of :data:`WRAPPERS` off, if the rest then fits.

    Returns:
        OrderedDict[str, Tensor] | None: Weights that fit the model exactly;
        None if there are no such.
    """
    one = next(iter(model.state_dict()))
    prefixes = {key[: -len(one)] for key in weights if key.endswith(one)}
    for prefix in sorted(prefixes, key=len):
        if set(prefix.split('.')) - {*WRAPPERS, ''}:
            continue
        found = OrderedDict(
            (key[len(prefix) :], value)
            for key, value in weights.items()
            if key.startswith(prefix)
        )
        if not mismatches(model, found):
            return found
    return None


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


def _plain(value: Any) -> Any:
    if hasattr(value, 'tolist'):
        return value.tolist()
    raise TypeError(
        'meta of a student checkpoint: expected plain values, got a '
        f'{type(value).__name__}.'
    )
