"""What a run leaves in its work directory, and whose it is."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Dict, List, Mapping, Optional, Union

from mmengine.logging import print_log

from ..errors import UserError
from .files import RESULTS_FILE, STUDENT_FILE, DamagedFile, load_checkpoint

#: Key of MMEngine's message hub under which the checkpoints of a run keep what
#: tells it from other runs.
RUN_KEY = 'run'

#: How long a run is, which does not tell it from others.
LENGTH = ('max_epochs', 'max_iters')

_NUMBERED = re.compile(r'^(epoch|iter)_(\d+)\.pth$')
#: Where settings of the evaluations during training stand.
_VALIDATION = ('val_dataloader.', 'val_evaluator')

#: As CheckpointHook names what it keeps, what it publishes among it.
_LEFT = re.compile(r'^(?:best_.+_)?(?:epoch|iter)_\d+(?:-[0-9a-f]{8})?\.pth$')


def latest_checkpoint(
    work_dir: Union[str, Path], strict: bool = False
) -> Optional[Path]:
    """Finds the checkpoint of a run that was trained longest.

    What counts is the epoch and iteration that a checkpoint itself names: a
    copy of a folder may change the times of files. MMEngine's
    ``last_checkpoint`` is not consulted: a kill can leave it empty or
    pointing to a file that is gone. A damaged file, and one that is not of
    the epoch in its name, is passed over with a log line.

    Args:
        work_dir (str | Path): Work directory of the run.
        strict (bool): Refuse where one would be passed over. Defaults to
            False.

    Returns:
        Path | None: The file, or None when there is no numbered one.

    Raises:
        UserError: If there are some and none can be used, one cannot be read
            though it is whole, or they are of several runs.
    """
    found, passed = [], []
    for path in _entries(work_dir):
        numbered = _NUMBERED.match(path.name)
        if not numbered:
            continue
        unit, number = numbered[1], int(numbered[2])
        try:
            content = load_checkpoint(path, whole=False)
        except DamagedFile as error:
            passed.append(str(error))
            continue
        except UserError:
            if path.exists():
                raise
            # A run that is going on deleted it.
            continue
        meta = content.get('meta')
        meta = meta if isinstance(meta, dict) else {}
        said = meta.get(unit, number)
        if said != number:
            passed.append(f'checkpoint {path}: is of {unit} {said}.')
            continue
        step = (meta.get('epoch', number), meta.get('iter', number))
        found.append((step, path, run_of(content)))
    found.sort(reverse=True, key=lambda each: each[0])
    newest = None
    for _, path, run in found:
        if newest is not None:
            field = differing(run, newest[1])
            if field is not None:
                raise UserError(
                    f'work directory {work_dir}: {path.name} and '
                    f'{newest[0].name} are of different runs ({field}); '
                    'move those of one elsewhere.'
                )
            continue
        try:
            load_checkpoint(path)
        except DamagedFile as error:
            passed.append(str(error))
            continue
        newest = path, run
    if passed and (strict or newest is None):
        raise UserError(
            f'work directory {work_dir}: its checkpoints cannot be used: '
            + '; '.join(reason.rstrip('.') for reason in passed)
            + '.'
        )
    for reason in passed:
        print_log(f'{reason} Taking {newest[0].name}.', 'current')
    return None if newest is None else newest[0]


def left_by_run(work_dir: Union[str, Path]) -> List[Path]:
    """Lists what makes a work directory a used one.

    Args:
        work_dir (str | Path): The folder; it need not exist.

    Returns:
        list[Path]: Results, the student, numbered and best checkpoints and
        MMEngine's pointer to the last.

    Raises:
        UserError: If the folder cannot be read.
    """
    names = (RESULTS_FILE, STUDENT_FILE, 'last_checkpoint')
    return [
        path
        for path in _entries(work_dir)
        if path.name in names or _LEFT.match(path.name)
    ]


def _entries(folder: Union[str, Path]) -> List[Path]:
    try:
        return sorted(Path(folder).iterdir())
    except FileNotFoundError:
        return []
    except OSError as error:
        reason = error.strerror or error
        raise UserError(
            f'work directory {folder}: cannot be read ({reason}).'
        ) from error


def check_work_dir(
    work_dir: Union[str, Path],
    start: Optional[str],
    resume: bool,
    overwrite: bool,
) -> None:
    """Refuses a used work directory, unless the run there goes on.

    Args:
        work_dir (str | Path): Where a run would go.
        start (str, optional): The checkpoint that it starts from; None with
            ``resume`` is one of the work directory.
        resume (bool): Whether the run of that checkpoint goes on.
        overwrite (bool): Whether what is there may be deleted.

    Raises:
        UserError: If the folder is used and may not be.
    """
    used = left_by_run(work_dir)
    start = None if start is None else Path(start).resolve()
    if overwrite:
        if start in [path.resolve() for path in used]:
            raise UserError(
                f'--overwrite: would delete {start}, which the run starts '
                'from; choose another --work-dir.'
            )
    elif used and not (
        resume and (start is None or start.parent == Path(work_dir).resolve())
    ):
        shown = ', '.join(path.name for path in used[:3])
        raise UserError(
            f'work directory {work_dir}: expected an unused one, got one with '
            f'{shown}{" ..." if len(used) > 3 else ""}; choose another '
            '--work-dir, go on with --resume where there is a numbered '
            'checkpoint, or delete what is there with --overwrite.'
        )


def run_of(checkpoint: Mapping[str, Any]) -> Dict[str, Any]:
    """Returns what a checkpoint says about the run that wrote it.

    Args:
        checkpoint (Mapping): Content of a checkpoint.

    Returns:
        dict: As :func:`~mmkd_custom.engine.identity.identity` gives it, what
        is not known None or missing.
    """
    hub = checkpoint.get('message_hub') or {}
    return dict((hub.get('runtime_info') or {}).get(RUN_KEY) or {})


def differing(
    found: Mapping[str, Any], wanted: Mapping[str, Any], length: bool = False
) -> Optional[str]:
    """Finds what tells two runs apart.

    Args:
        found (Mapping): From :func:`run_of`, or a ``results.json``.
        wanted (Mapping): The same of another run.
        length (bool): Whether runs of different length are different.
            Defaults to False.

    Returns:
        str | None: The first values in which they differ; None when they
        agree in all that both know.
    """
    pairs = {
        name: (found.get(name), value)
        for name, value in wanted.items()
        if name not in ('settings', 'config_sha256', 'options')
        and (length or name not in LENGTH)
        and None not in (value, found.get(name))
    }
    theirs, ours = found.get('settings'), wanted.get('settings')
    if theirs and ours:
        # A file may be renamed: its content is known.
        pairs.pop('config', None)
        validated = _validated(theirs) and _validated(ours)
        for name in {**ours, **theirs}:
            if validated or not name.startswith(_VALIDATION):
                pairs.setdefault(name, (theirs.get(name), ours.get(name)))
    different = [
        f'expected {name}={value!r}, got {other!r}'
        # Values that changed say more than those that came or went.
        for name, (other, value) in sorted(
            pairs.items(), key=lambda pair: None in pair[1]
        )
        if value != other and not _may_differ(name, other, value)
    ]
    more = len(different) - 3
    if more > 0:
        different[3:] = [f'and {more} more']
    return ', '.join(different) or None


def _validated(settings: Mapping[str, Any]) -> bool:
    return any(name.startswith(_VALIDATION) for name in settings)


def _may_differ(name: str, other: Any, value: Any) -> bool:
    # What data decides; the field seed; where a schedule ends with the run.
    if 'auto' in (other, value) or name == 'randomness.seed':
        return True
    last = name.rpartition('.')[2]
    return None in (other, value) and last in ('end', 'T_max')
