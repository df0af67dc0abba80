"""How long one image takes: a student, its files, and its teacher."""

from __future__ import annotations

import json
import os
import platform
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any, Dict, List, Optional, Sequence, Tuple, Union

import torch

from ..errors import UserError
from ..evaluation.results import read_results, versions
from ..export.files import INT8, ONNX
from ..export.folder import EXPORT
from ..export.metadata import METADATA, read_metadata
from ..utils.files import STUDENT_FILE
from ..utils.progress import progress
from . import latency_run

#: Rows of a run; an export does not have its teacher.
TORCH = ('teacher', 'torch')
#: Rows after these.
ONNX_FILES = (ONNX, INT8)


def latency(
    students: Sequence[Union[str, Path]],
    runs: int = 200,
    warmup: int = 20,
    seconds: float = 10.0,
    threads: Optional[Sequence[int]] = None,
) -> Dict[str, Any]:
    """Times students, their ONNX files and their teachers on this CPU.

    One image at a time, prepared before: a student's as it was tested, a
    teacher's as large as it saw it. Each network is a row and runs in a
    process of its own; an ONNX file in one that has imported ONNX Runtime and
    no torch.

    Args:
        students (Sequence[str | Path]): Folders of finished runs, of which
            an export in ``export`` is measured too, or of exported students;
            or ONNX files. A teacher is that of a run.
        runs (int): Timed images. Defaults to 200.
        warmup (int): Images before them. Defaults to 20.
        seconds (float): After so long no further image is begun, if at least
            ten were timed. Defaults to 10.
        threads (Sequence[int], optional): Numbers of threads, one after the
            other. Defaults to None, one and as many as there are cores.

    Returns:
        dict[str, Any]: ``rows``, each a dict: ``student``, ``network``
        ('teacher', 'torch' or the name of a file), ``metrics`` of the
        student, ``file_bytes`` (of a teacher those of its weights), and what
        :mod:`~.latency_run` returns. ``parameters`` and ``macs`` of an ONNX
        file are those of the student whose folder it lies in, None where
        that is not measured. Also ``cpu``, ``threads``, ``runs``,
        ``versions`` and ``left_out``, sentences about teachers that could
        not be built.

    Raises:
        UserError: If a number is out of range, a student is missing or cannot
            be run.
    """
    for option, number in (('runs', runs), ('warmup', warmup)):
        if number < 1:
            raise UserError(f'--{option}: expected >= 1, got {number}.')
    if seconds <= 0:
        raise UserError(f'--seconds: expected > 0, got {seconds}.')
    threads = sorted({1, _cores()} if threads is None else set(threads))
    if threads[0] < 1:
        raise UserError(f'--threads: expected >= 1, got {threads[0]}.')
    asked = [row for student in students for row in _rows(Path(student))]
    given = dict(threads=threads, runs=runs, warmup=warmup, seconds=seconds)
    rows: List[Dict[str, Any]] = []
    left_out: List[str] = []
    with progress('timing', len(asked), 'networks') as bar:
        for row, order in bar.track(asked):
            bar.note = f'{row["student"]}: {row["network"]}'
            found = _in_its_own_process(dict(order, **given))
            if 'error' not in found:
                rows.append(dict(row, **found))
            elif row['network'] == 'teacher':
                left_out.append(found['error'])
            else:
                raise UserError(found['error'])
    _complete(rows)
    return dict(
        rows=rows,
        left_out=left_out,
        cpu=cpu_name(),
        threads=threads,
        runs=runs,
        warmup=warmup,
        versions=dict(versions(), **_runtime()),
    )


def _rows(student: Path) -> List[Tuple[Dict[str, Any], Dict[str, Any]]]:
    """Returns what there is to measure of a student: a row and its order."""
    student = student.expanduser()
    if student.suffix == '.onnx':
        return [_onnx_row(student, student)]
    if not student.is_dir():
        raise UserError(
            f'{student}: expected the folder of a run, of an exported student '
            'or an ONNX file, got none.'
        )
    about = dict(student=str(student), metrics=_metrics(student))
    rows = [
        (dict(about, network=kind), dict(kind=kind, folder=str(student)))
        for kind in (TORCH[1:] if _is_export(student) else TORCH)
    ]
    own = student / STUDENT_FILE
    if own.is_file():
        rows[-1][0]['file_bytes'] = own.stat().st_size
    for folder in (student, student / EXPORT):
        found = [folder / name for name in ONNX_FILES]
        found = [path for path in found if path.is_file()]
        rows += [_onnx_row(student, path) for path in found]
        if found:
            break
    return rows


def _onnx_row(student: Path, path: Path) -> Tuple[dict, dict]:
    if not path.is_file():
        raise UserError(f'{path}: expected an ONNX file, got none.')
    row = dict(
        student=str(student),
        metrics=_metrics(student, path),
        network=path.name,
        file_bytes=path.stat().st_size,
    )
    return row, dict(kind='onnx', path=str(path))


def _is_export(folder: Path) -> bool:
    return (folder / METADATA).is_file()


def _metrics(folder: Path, file: Optional[Path] = None) -> Dict[str, float]:
    """Returns what was measured on the test set, of a file if there is one."""
    metadata = read_metadata(folder if file is None else file.parent)
    about = (metadata.get('files') or {}).get(file and file.name) or {}
    if about.get('top1') is not None:
        return {'accuracy/top1': about['top1']}
    if file is not None and file.name != ONNX_FILES[0]:
        # One of int8 has other answers than its student.
        return {}
    results = read_results(folder) if folder.is_dir() else None
    return metadata.get('metrics') or (results or {}).get('last') or {}


def _in_its_own_process(order: Dict[str, Any]) -> Dict[str, Any]:
    """Has :mod:`~.latency_run` measure, and returns what it found."""
    done = subprocess.run(
        [sys.executable, '-m', latency_run.__name__],
        input=json.dumps(order),
        capture_output=True,
        text=True,
        env=dict(
            os.environ, PYTHONPATH=os.pathsep.join(filter(None, sys.path))
        ),
    )
    if done.returncode == -signal.SIGKILL:
        raise UserError(
            f'{order.get("folder") or order["path"]}: expected enough memory, '
            'got a process that was killed.'
        )
    if done.returncode:
        raise RuntimeError(
            f'{order}: expected figures, got\n{done.stderr[-2000:]}'
        )
    return json.loads(done.stdout.splitlines()[-1])


def _complete(rows: Sequence[Dict[str, Any]]) -> None:
    """Gives ONNX files what is known of the network that they hold."""
    for row in rows:
        student = _of_its_folder(row, rows) or {}
        for name in ('parameters', 'macs'):
            row.setdefault(name, student.get(name))
        row.setdefault('file_bytes', row.pop('weight_bytes', None))
        row.pop('weight_bytes', None)


def _of_its_folder(
    row: Dict[str, Any], rows: Sequence[Dict[str, Any]]
) -> Optional[Dict[str, Any]]:
    """Returns the torch row of the folder that a row's file lies in."""
    named = Path(row['student'])
    # A file, if it was named alone.
    folder = named.parent if named.suffix == '.onnx' else named
    folder = folder.expanduser().resolve()
    places = [folder, *[folder.parent] * (folder.name == EXPORT)]
    own = (
        each
        for each in rows
        if each['network'] == 'torch'
        and Path(each['student']).resolve() in places
    )
    return next(own, None)


def _beside(
    row: Dict[str, Any], rows: Sequence[Dict[str, Any]], network: str
) -> Optional[Dict[str, Any]]:
    """Returns the row of a network of the same student, or the only one."""
    every = [each for each in rows if each['network'] == network]
    own = [each for each in every if each['student'] == row['student']]
    return next(iter(own or (every if len(every) == 1 else [])), None)


def bought(rows: Sequence[Dict[str, Any]]) -> List[Dict[str, Any]]:
    """Compares each network with the teacher of its student.

    With one teacher alone, all are compared with that.

    Args:
        rows (Sequence[dict]): From :func:`latency`.

    Returns:
        list[dict[str, Any]]: ``student``, ``network``, and how many times the
        teacher has of it: ``cpu_ms`` on the fewest threads, ``parameters``,
        ``macs``, ``file_bytes``, ``memory_mb``; nothing where there is no
        teacher.
    """
    found = []
    for row in rows:
        teacher = _beside(row, rows, 'teacher')
        if teacher is None or row is teacher:
            continue
        names = ('parameters', 'macs', 'file_bytes', 'memory_mb')
        pairs = {name: (teacher[name], row[name]) for name in names}
        pairs['cpu_ms'] = tuple(
            r['times'][0]['cpu_ms'] for r in (teacher, row)
        )
        ratios = {k: a / b for k, (a, b) in pairs.items() if a and b}
        found.append(
            dict(student=row['student'], network=row['network'], **ratios)
        )
    return found


def least_share(rows: Sequence[Dict[str, Any]]) -> float:
    """Returns the least share of a processor that a network had.

    Args:
        rows (Sequence[dict]): From :func:`latency`.

    Returns:
        float: Of those on one thread; 1 if the machine was idle.
    """
    alone = [t for r in rows for t in r['times'] if t['threads'] == 1]
    return min((t['cpu_ms'] / t['mean_ms'] for t in alone), default=1.0)


def cpu_name() -> str:
    """Returns the processor's name, as far as the system tells it."""
    info = Path('/proc/cpuinfo')
    if info.is_file():
        for line in info.read_text().splitlines():
            if line.startswith('model name'):
                return line.partition(':')[2].strip()
    return platform.processor() or platform.machine()


def _cores() -> int:
    if hasattr(os, 'sched_getaffinity'):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or torch.get_num_threads()


def _runtime() -> Dict[str, str]:
    from importlib import metadata

    try:
        return dict(onnxruntime=metadata.version('onnxruntime'))
    except metadata.PackageNotFoundError:
        return {}
