"""What cached teacher outputs are a function of, and comparing it."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import Any, Dict, Iterator, Mapping, Tuple

import mmcv
import mmengine
import mmpretrain
import torch
from mmengine.config import Config

from ..datasets import TwoStreamDataset
from ..errors import UserError
from ..models.teachers.base import FrozenTeacher
from ..models.teachers.wrappers.base import input_summary
from ..stages import STREAMS, TEACHER
from ..version import __version__

#: Says who made a store; what differs there makes no other entries.
MADE_WITH = 'made_with'

#: Options of teachers that say where weights are, of which there is a digest,
#: or how a network runs.
_NO_MATTER = (
    'checkpoint',
    'pretrained',
    'probe',
    'adaptation',
    'max_batch',
    'channels_last',
    'compile',
)


def cache_manifest(
    config: Config,
    option: str,
    teacher: FrozenTeacher,
    preprocessor: Any,
    dataset: TwoStreamDataset,
) -> Dict[str, Any]:
    """Describes what a teacher's outputs by (sample, view) depend on.

    Weights, options and layers, how it and the student prepare images, the
    pipelines that make them, which images there are, and the seed of the
    views, unless they are clean. Options are those of the config, as the user
    wrote them.

    Args:
        config (Config): Of the run.
        option (str): Where the teacher is in it, such as
            'model.teacher.teacher'.
        teacher (FrozenTeacher): The teacher that is asked.
        preprocessor (nn.Module): The distiller's data preprocessor.
        dataset (TwoStreamDataset): The training images.

    Returns:
        dict[str, Any]: As JSON holds it.

    Raises:
        UserError: If the config does not say how teacher or dataset were
            built.
    """
    normalised = getattr(preprocessor, '_enable_normalize', False)
    student = dict(
        mean=preprocessor.mean.flatten().tolist() if normalised else None,
        std=preprocessor.std.flatten().tolist() if normalised else None,
        to_rgb=bool(getattr(preprocessor, 'to_rgb', True)),
    )
    divisor = int(getattr(preprocessor, 'pad_size_divisor', 1))
    if divisor > 1:
        # What was padded for the student, the teacher sees too.
        student['padding'] = [divisor, _plain('', preprocessor.pad_value)]
    # Layers without weights, such as activations, are in no digest.
    layers = re.sub(r' at 0x[0-9a-f]+', '', repr(teacher))
    return {
        'teacher': teacher.name,
        'teacher_sha256': teacher.digest(),
        'teacher_config': _plain(
            option, _config_at(config, option), _NO_MATTER
        ),
        'teacher_layers': hashlib.sha256(layers.encode()).hexdigest(),
        'teacher_input': input_summary(teacher),
        'student_input': student,
        'pipelines': _pipelines(config, dataset),
        'dataset_sha256': dataset.samples_sha256(),
        # A clean view is the same under every seed.
        'seed': None if TEACHER in dataset.clean else int(dataset.seed),
        MADE_WITH: dict(
            mmkd_custom=__version__,
            torch=torch.__version__,
            mmengine=mmengine.__version__,
            mmcv=mmcv.__version__,
            mmpretrain=mmpretrain.__version__,
        ),
    }


def check_manifest(path: Path, wanted: Mapping[str, Any]) -> None:
    """Refuses a store whose entries are a function of something else.

    Args:
        path (Path): Its manifest file.
        wanted (Mapping[str, Any]): What the run at hand would write there,
            as JSON holds it.

    Raises:
        UserError: If the file is damaged or a field differs; names the first
            such field and both values.
    """
    try:
        found = json.loads(path.read_text())
        if not isinstance(found, dict):
            raise ValueError(f'it holds a {type(found).__name__}')
    except (OSError, ValueError) as error:
        raise UserError(
            f'cache {path}: expected a manifest, got something else '
            f'({error}); delete the folder.'
        ) from error
    theirs, ours = (
        dict(_flat({k: v for k, v in fields.items() if k != MADE_WITH}))
        for fields in (found, wanted)
    )
    # Ours first: in the order in which a run is described.
    for field in {**ours, **theirs}:
        was, now = (
            repr(fields[field]) if field in fields else 'nothing'
            for fields in (theirs, ours)
        )
        if was != now:
            raise UserError(
                f'cache {path.parent}: expected {field}={now}, got a cache '
                f'made with {was}; give another cache_dir, or delete this '
                'one.'
            )


def _flat(value: Any, field: str = '') -> Iterator[Tuple[str, Any]]:
    """Yields the values in dicts and lists with their dotted names."""
    items = None
    if isinstance(value, dict):
        items = value.items()
    elif isinstance(value, list):
        items = enumerate(value)
    if not items:
        yield field, value
        return
    for name, item in items:
        yield from _flat(item, f'{field}.{name}' if field else str(name))


def _config_at(config: Config, option: str) -> dict:
    found = config
    for name in option.split('.'):
        found = found.get(name) if isinstance(found, (dict, Config)) else None
    if not isinstance(found, dict):
        raise UserError(
            f'{option}: expected its config, by which a CachedTeacher knows '
            f'what its cache depends on, got {type(found).__name__}.'
        )
    return found


def _plain(option: str, value: Any, drop: Tuple[str, ...] = ()) -> Any:
    """Returns what a config holds as JSON holds it, without some options."""
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, dict):
        return {
            str(name): _plain(f'{option}.{name}', item, drop)
            for name, item in value.items()
            if name not in drop
        }
    if isinstance(value, (list, tuple)):
        steps = enumerate(value)
        return [_plain(f'{option}.{i}', item, drop) for i, item in steps]
    if hasattr(value, 'tolist'):
        # Arrays, tensors and their numbers.
        return value.tolist()
    if hasattr(value, '__qualname__'):
        return f'{value.__module__}.{value.__qualname__}'
    raise UserError(
        f'{option}: expected a config, by which a CachedTeacher knows what '
        f'its cache depends on, got a built {type(value).__name__}.'
    )


def _pipelines(config: Config, dataset: TwoStreamDataset) -> Dict[str, Any]:
    """Returns the configs of the pipelines that make what teachers see."""
    option = 'train_dataloader.dataset'
    if TEACHER in dataset.pipelines:
        option = f'{option}.pipelines'
        steps = _plain(option, _config_at(config, option)[TEACHER])
        own = ''
        # An independent view draws otherwise, a clean one not at all.
        if TEACHER in dataset.clean:
            own = ' (clean)'
        elif TEACHER in dataset.independent:
            own = ' (independent)'
        return {TEACHER + own: steps}
    found = {}
    for name in STREAMS:
        if getattr(dataset, name) is not None:
            at = f'{option}.{name}'
            steps = _plain(at, list(_innermost(_config_at(config, at))))
            found[name] = steps if len(steps) > 1 else steps[0]
    return found


def _innermost(config: dict) -> Iterator[Any]:
    """Yields the pipelines of the datasets in a dataset's config."""
    inner = config.get('datasets') or [config.get('dataset')]
    if 'pipeline' in config or not isinstance(inner[0], dict):
        yield config.get('pipeline')
        return
    for one in inner:
        yield from _innermost(one)
