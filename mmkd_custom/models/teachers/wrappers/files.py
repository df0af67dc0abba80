"""Files of what was fitted to a teacher, and whether they fit it now."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Dict, Optional, Sequence, Tuple, Union

import safetensors
import torch
from safetensors.torch import save

from ....errors import UserError
from ....utils.files import write_atomic
from ..base import FrozenTeacher
from .base import feature_name, warn_if_seen_otherwise

#: Before the kind of file in its metadata.
SCOPE = 'mmkd_custom.'


def write_fitted(
    kind: str,
    path: Union[str, Path],
    facts: Dict[str, Any],
    tensors: Dict[str, torch.Tensor],
) -> None:
    """Writes tensors and facts as a safetensors file in one step.

    The same content gives the same bytes: the facts stand under one key of
    the metadata, because safetensors writes several in no fixed order.

    Args:
        kind (str): What was fitted, such as 'probe'.
        path (str | Path): The file; its folder is made.
        facts (dict[str, Any]): What JSON can hold.
        tensors (dict[str, Tensor]): By name.

    Raises:
        UserError: If it cannot be written there.
    """
    metadata = {SCOPE + kind: json.dumps(facts, sort_keys=True)}
    try:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        write_atomic(path, save(tensors, metadata))
    except OSError as error:
        raise UserError(
            f'{kind} {path}: cannot be written ({error}).'
        ) from error


def read_fitted(
    kind: str, path: Union[str, Path], tool: str
) -> Tuple[Dict[str, Any], Dict[str, torch.Tensor]]:
    """Reads what :func:`write_fitted` wrote.

    Args:
        kind (str): As it was written.
        path (str | Path): The file.
        tool (str): What makes such files, for the errors.

    Returns:
        tuple[dict, dict]: The facts, and the tensors on the CPU.

    Raises:
        UserError: If there is no such file, or it holds something else.
    """
    path = Path(path).expanduser()
    if not path.is_file():
        raise UserError(
            f'{kind}: there is no file {str(path)!r}; make it with {tool}.'
        )
    try:
        with safetensors.safe_open(str(path), 'pt') as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}
    except safetensors.SafetensorError as error:
        raise UserError(
            f'{kind} {path}: is no readable .safetensors file ({error}).'
        ) from error
    if SCOPE + kind not in metadata:
        found = ', '.join(metadata) or f'tensors such as {_first(tensors)}'
        raise UserError(
            f'{kind} {path}: holds {found}, but what {tool} writes is wanted.'
        )
    return json.loads(metadata[SCOPE + kind]), tensors


def check_fitted(
    source: str,
    stored: Any,
    width: int,
    teacher: FrozenTeacher,
    num_classes: Optional[int],
    tool: str,
) -> None:
    """Refuses what was fitted to something else.

    Args:
        source (str): What was fitted, and its file, for the errors.
        stored (Probe | Adaptation): What was fitted.
        width (int): Width D of the feature that its head takes.
        teacher (FrozenTeacher): The teacher as it is now.
        num_classes (int, optional): Classes of the data; None does not care.
        tool (str): What makes such files, for the errors.

    Raises:
        UserError: If width, classes, feature or weights differ.
    """
    classes: Sequence[str] = stored.classes
    if width != teacher.feature_dim:
        raise UserError(
            f'{source}: is for a feature of width {width} of '
            f'{stored.teacher}, but that of {teacher.name} has width '
            f'{teacher.feature_dim}.'
        )
    if num_classes not in (None, len(classes)):
        raise UserError(
            f'{source}: has {len(classes)} classes, but num_classes='
            f'{num_classes}; fit one to the data at hand with {tool}.'
        )
    feature = feature_name(teacher)
    if feature != stored.feature:
        raise UserError(
            f'{source}: was fitted to the feature {stored.feature!r} of '
            f'{stored.teacher}, but {teacher.name} gives {feature!r}.'
        )
    digest = teacher.digest()
    if digest != stored.teacher_sha256:
        raise UserError(
            f'{source}: was fitted to {stored.teacher} (sha256 '
            f'{stored.teacher_sha256[:12]}), but the teacher is '
            f'{teacher.name} (sha256 {digest[:12]}), another network, dtype '
            'or other weights.'
        )
    if stored.input is not None:
        warn_if_seen_otherwise(source, teacher, stored.teacher, stored.input)


def _first(tensors: Dict[str, torch.Tensor]) -> str:
    return repr(next(iter(tensors), 'nothing'))
