"""What a finished run leaves for machines to read: ``results.json``."""

from __future__ import annotations

import json
import math
import platform
from importlib import metadata
from pathlib import Path
from typing import Any, Dict, List, Mapping, Optional, Union

import torch
from mmengine.device import get_device

from ..errors import UserError
from ..utils.files import RESULTS_FILE, write_atomic

#: Distributions whose version decides what a run computes.
VERSIONED = (
    *('mmkd-custom', 'mmengine', 'mmpretrain', 'mmcv', 'mmcv-lite', 'torch'),
    *('torchvision', 'timm', 'open_clip_torch', 'numpy'),
)

#: Key of ``results.json``, and of the message hub, for what the teacher
#: scores where the student is evaluated.
TEACHER_METRICS = 'teacher'


def versions() -> Dict[str, str]:
    """Returns the versions of Python and of the installed packages.

    Returns:
        dict[str, str]: Name to version; packages that are not installed are
        left out.
    """
    found = dict(python=platform.python_version())
    for name in VERSIONED:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def summarize(history: List[Dict[str, float]]) -> Dict[str, dict]:
    """Reduces the evaluations of a run to what is reported.

    Args:
        history (list[dict]): One dict of metrics per evaluation, oldest
            first; ``epoch`` counts from 1.

    Returns:
        dict: ``last``, the metrics after the last epoch, which are the result;
        and ``oracle``, the metrics after the epoch in which the first of them
        was best, with its ``epoch``: that one is chosen by the labels of the
        test images, so it only stands beside the result.
    """
    if not history:
        return dict(last={}, oracle={})
    first = next((key for key in history[0] if key != 'epoch'), None)

    def score(entry: Dict[str, float]) -> float:
        value = entry.get(first, -math.inf)
        return -math.inf if math.isnan(value) else value

    last = {k: v for k, v in history[-1].items() if k != 'epoch'}
    return dict(last=last, oracle=dict(max(history, key=score)))


def numbers(metrics: Mapping[str, Any]) -> Dict[str, float]:
    """Leaves metrics that are numbers; those of numpy and torch too.

    Args:
        metrics (Mapping[str, Any]): Name to value.

    Returns:
        dict[str, float]: Those that are one number.
    """
    plain = {k: getattr(v, 'tolist', lambda: v)() for k, v in metrics.items()}
    return {
        k: float(v) for k, v in plain.items() if isinstance(v, (int, float))
    }


def device_name() -> str:
    """Returns on what this process computes: a GPU's model, or ``cpu``."""
    device = get_device()
    return torch.cuda.get_device_name() if device == 'cuda' else device


def write_json(content: dict, path: Union[str, Path]) -> None:
    """Writes a JSON file in one step, so that it is whole or not there.

    Args:
        content (dict): Any values: arrays and tensors become lists, numbers
            that are not finite ``null``, other objects text.
        path (str | Path): The destination.
    """
    text = json.dumps(content, default=_plain)
    # Python writes NaN and Infinity, which no other reader of JSON knows.
    content = json.loads(text, parse_constant=lambda _: None)
    write_atomic(path, (json.dumps(content, indent=2) + '\n').encode())


def _plain(value: Any) -> Any:
    return value.tolist() if hasattr(value, 'tolist') else str(value)


def read_results(work_dir: Union[str, Path]) -> Optional[dict]:
    """Reads the ``results.json`` of a run, None when it has not finished.

    Raises:
        UserError: If it is damaged.
    """
    path = Path(work_dir) / RESULTS_FILE
    if not path.is_file():
        return None
    try:
        found = json.loads(path.read_text())
    except ValueError as error:
        raise UserError(
            f'{path}: expected JSON, got a damaged file ({error}); delete it '
            'to make it anew.'
        ) from error
    if not isinstance(found, dict):
        raise UserError(
            f'{path}: expected a dict, got {type(found).__name__}.'
        )
    return found
