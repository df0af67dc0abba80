"""``metadata.json``: what a folder of exported files is and came from."""

from __future__ import annotations

import hashlib
import json
import subprocess
from importlib import metadata
from pathlib import Path
from typing import Any, Dict, Iterator, List, Optional, Sequence

import torch
from mmengine.config import Config

from ..errors import UserError
from ..evaluation.results import versions
from ..models.teachers.weights import URLS
from ..registry import MODELS
from ..version import __version__
from .images import scope_of
from .run import Run

METADATA = 'metadata.json'
PACKAGE = Path(__file__).resolve().parents[1]
#: What of ``results.json`` says which run it was.
_OF_RUN = ('config', 'seed', 'task', 'split_sha256', 'config_sha256', 'epochs')
_NOTE = (
    'Weights can inherit terms of the data that student and teacher were '
    'trained on, and of the teacher; look at its source. Nothing here is '
    'legal advice.'
)


def metadata_of(run: Run, needs: Sequence[str]) -> Dict[str, Any]:
    """Collects what is known of a run's student.

    Args:
        run (Run): Whose it is.
        needs (Sequence[str]): Parts of this package that it is made of.

    Returns:
        dict: Values that JSON can hold, ``files`` empty.
    """
    config, results = run.student.config, run.results
    pixels = run.sight.pixels if run.sight else None
    teachers = list(_teachers(config))
    return dict(
        task=results.get('task') or config.get('task'),
        classes=run.classes,
        input_size=list(run.shape[1:]) if run.shape else None,
        mean=pixels and _rounded(pixels.mean),
        std=pixels and _rounded(pixels.std),
        to_rgb=pixels and pixels.to_rgb,
        metrics=results.get('last') or {},
        run={key: results[key] for key in _OF_RUN if key in results},
        teachers=teachers,
        needs=list(needs),
        files={},
        not_compared=run.missing,
        source=dict(
            package='mmkd_custom', version=__version__, commit=commit()
        ),
        licences=dict(
            mmkd_custom='Apache-2.0',
            mmpretrain=_licence('mmpretrain'),
            teachers={t['name']: t.get('licence') for t in teachers},
            note=_NOTE,
        ),
        versions=versions(),
    )


def read_metadata(folder: Path) -> Dict[str, Any]:
    """Reads what an export says of its folder; empty where it says nothing.

    Raises:
        UserError: If it is damaged.
    """
    path = folder / METADATA
    if not path.is_file():
        return {}
    try:
        content = json.loads(path.read_text(encoding='utf-8'))
    except ValueError as error:
        raise UserError(
            f'{path}: expected JSON, got a damaged file ({error}).'
        ) from error
    if not isinstance(content, dict):
        raise UserError(
            f'{path}: expected a dict, got {type(content).__name__}.'
        )
    return content


def file_facts(path: Path) -> Dict[str, Any]:
    """Returns size and digest of a file."""
    content = path.read_bytes()
    return dict(bytes=len(content), sha256=hashlib.sha256(content).hexdigest())


def commit() -> Optional[str]:
    """Returns the commit of this package's clone; None where it is none."""
    try:
        done = subprocess.run(
            ['git', 'describe', '--always', '--dirty', '--abbrev=40'],
            cwd=PACKAGE,
            capture_output=True,
            text=True,
        )
    except OSError:
        return None
    # A wheel may lie in a repository of somebody else.
    ours = (PACKAGE.parent / 'setup.py').is_file()
    return done.stdout.strip() if ours and not done.returncode else None


def _teachers(config: Config) -> Iterator[Dict[str, Any]]:
    given = config.model.get('teachers') or {}
    one = config.model.get('teacher')
    for cfg in [*given.values(), *([one] if one else [])]:
        # A cache holds what another teacher says.
        while str(cfg.get('type')).endswith('CachedTeacher'):
            cfg = cfg['teacher']
        yield _teacher(config, cfg)


def _teacher(config: Config, cfg: dict) -> Dict[str, Any]:
    name = cfg.get('model_name') or cfg.get('type')
    facts: Dict[str, Any] = dict(
        name=str(name), weights=None, sha256=None, licence=_card(name)
    )
    if _downloads(cfg):
        return dict(facts, why_no_sha256='its weights would be downloaded')
    try:
        with scope_of(config):
            teacher = MODELS.build(cfg)
    # Weights need not be where they were when it taught.
    except (UserError, OSError, ImportError, RuntimeError):
        return dict(facts, why_no_sha256='it cannot be built here any more')
    facts.update(name=teacher.name, weights=_named(teacher.weights))
    if 'random' in teacher.weights.split(' + '):
        # Those that are drawn now did not teach.
        return dict(facts, why_no_sha256='its weights were random')
    return dict(facts, sha256=teacher.digest())


def _named(weights: str) -> str:
    """Leaves folders of this machine out of where weights came from."""
    parts = [Path(part) for part in weights.split(' + ')]
    return ' + '.join(
        p.name if p.is_absolute() or p.expanduser().is_file() else str(p)
        for p in parts
    )


def _downloads(node: Any) -> bool:
    """Whether building a teacher would fetch something."""
    if isinstance(node, dict):
        where = str(node.get('checkpoint') or '')
        if node.get('pretrained') or where.startswith(URLS):
            return True
        node = list(node.values())
    if isinstance(node, (list, tuple)):
        return any(_downloads(value) for value in node)
    return False


def _card(name: Any) -> Optional[str]:
    """Returns the licence that timm's card of a network names."""
    from timm.models import get_pretrained_cfg

    card = get_pretrained_cfg(str(name), allow_unregistered=True)
    return getattr(card, 'license', None)


def _rounded(values: torch.Tensor) -> List[float]:
    """Single precision as it was written in a config."""
    return [float(f'{value:.6g}') for value in values.tolist()]


def _licence(package: str) -> Optional[str]:
    try:
        found = metadata.metadata(package)
    except metadata.PackageNotFoundError:
        return None
    known: List[Optional[str]] = [
        found.get('License-Expression'),
        found.get('License'),
    ]
    return next(filter(None, known), None)
