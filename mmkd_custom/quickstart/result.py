"""What a run leaves: files, a table and a report."""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Iterable, List, Optional

from rich.console import Console

from ..errors import UserError
from ..evaluation.results import write_json
from ..utils.duration import spell_duration
from ..utils.files import STUDENT_FILE
from .places import PathLike, stem_of
from .plan import Plan
from .probing import Outlook, Score
from .report import Line, score_table

CONFIG, RUN, STUDENT_CONFIG = 'config.py', 'run', 'student.py'
REPORT, LOG = 'report.json', 'log.txt'


@dataclass
class Result:
    """What came of it.

    Args:
        plan (Plan): How the student was trained.
        outlook (Outlook): What the labelled images say of the teacher.
        expected_seconds (float): How long training was to take.
        work_dir (Path, optional): Where everything is. Defaults to None, as
            of a plan that is left nowhere.
        lines (list[Line]): Constant answer, teacher's probe and student on
            the test images.
        seconds (float): How long training took. Defaults to 0.
    """

    plan: Plan
    outlook: Outlook
    expected_seconds: float
    work_dir: Optional[Path] = None
    lines: List[Line] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def student(self) -> Path:
        """The student's weights, which MMPretrain loads."""
        return self.work_dir / STUDENT_FILE

    @property
    def config(self) -> Path:
        """The config that was trained."""
        return self.work_dir / CONFIG

    @property
    def metrics(self) -> Score:
        """The student's, on the test images."""
        return self.lines[-1].score


def finish(screen: Console, result: Result, tested: int, run: dict) -> None:
    """Prints the table and the files, and writes the report."""
    rows = [dict(name=n, **vars(score)) for n, score in result.lines]
    write_json(
        dict(
            rows=rows,
            test_images=tested,
            seconds=round(result.seconds, 1),
            expected_seconds=round(result.expected_seconds, 1),
            plan=[list(row) for row in result.plan.rows()],
            outlook={
                name: value
                for name, value in asdict(result.outlook).items()
                if name in ('constant', 'pixels', 'probe', 'gain')
            },
            versions=run.get('versions'),
        ),
        result.work_dir / REPORT,
    )
    screen.print(score_table(result.lines, f'on {tested} test images', tested))
    screen.print(
        f'Training took {spell_duration(result.seconds)}, foreseen were '
        f'{spell_duration(result.expected_seconds)}.'
    )
    size = result.student.stat().st_size / 2**20
    for name, text in (
        ('ship', f'{result.student} ({size:.1f} MB)'),
        ('with', f'{result.work_dir / STUDENT_CONFIG}: network and images'),
        ('again', f'python tools/train.py {result.config}'),
    ):
        # A path is not broken into lines.
        screen.print(f'[bold]{name:<8}[/] {text}', soft_wrap=True)


def unused_folder(out: Optional[PathLike], data: Optional[PathLike]) -> Path:
    """Returns an unused folder.

    Raises:
        UserError: If the one that was given is used.
    """
    if out is None:
        base = Path('work_dirs', f'distill_{stem_of(data)}')
        number, path = 1, base
        while path.exists():
            number += 1
            path = base.with_name(f'{base.name}_{number}')
        return path
    path = Path(out).expanduser()
    if path.exists() and not path.is_dir():
        raise UserError(f'out {path}: expected a folder, got a file.')
    if path.is_dir() and any(path.iterdir()):
        hint = ''
        if (path / CONFIG).is_file():
            hint = (
                f', or go on with `python tools/train.py {path / CONFIG} '
                f'--work-dir {path / RUN} --resume auto`'
            )
        raise UserError(
            f'out {path}: expected an unused folder, got one with '
            f'{sorted(os.listdir(path))[0]}; choose another{hint}.'
        )
    return path


def check_outside(path: Path, folders: Iterable[Path]) -> None:
    """Refuses to write where the next run would find one more class.

    Args:
        path (Path): Where everything goes.
        folders (Iterable[Path]): Those whose folders are classes.

    Raises:
        UserError: If it is inside one of them.
    """
    real = Path(os.path.realpath(path))
    for folder in folders:
        if Path(os.path.realpath(folder)) in (real, *real.parents):
            raise UserError(
                f'out {path}: expected a folder outside {folder}, whose '
                'folders are classes, got one inside; choose another with '
                '--out.'
            )
