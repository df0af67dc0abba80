"""Distilling without a config: what the command and the function do."""

from __future__ import annotations

import gc
import io
import shutil
import tempfile
import time as clocks
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Optional, Sequence, Tuple, Union

import numpy as np
from mmengine.hooks import Hook
from rich.console import Console

from ..engine.config import load_config, prepare
from ..engine.launch import train
from ..errors import UserError
from ..evaluation.report import ACCURACY, MACRO_F1
from ..evaluation.results import read_results
from ..utils.bars import DISPLAY
from ..utils.duration import parse_duration, spell_duration
from ..utils.files import STUDENT_FILE
from .clock import fit_rest, fit_time, make_clock
from .data import Data, find_data
from .keeping import KeepTimeHook, TooSlow
from .log import Log, logging_apart, warnings_in
from .places import PathLike, stem_of
from .plan import Options, make_plan, this_machine
from .probing import Score, look
from .recipe import run_config, student_config, write_config
from .rehearsal import rehearse
from .report import (
    console,
    result_lines,
    show_data,
    show_fact,
    show_outlook,
    show_plan,
)
from .result import (
    CONFIG,
    LOG,
    RUN,
    STUDENT_CONFIG,
    Result,
    check_outside,
    finish,
    unused_folder,
)
from .students import AUTO, find_student
from .students import DEFAULT as DEFAULT_STUDENT
from .teachers import find_teacher

DEFAULT_METHOD = 'propagated'
#: Methods by other names.
METHODS = dict(customkd_propagated='propagated')


def distill(
    data: Optional[PathLike] = None,
    *,
    labelled: Optional[PathLike] = None,
    unlabelled: Optional[PathLike] = None,
    test: Optional[PathLike] = None,
    student: str = DEFAULT_STUDENT,
    student_weights: str = AUTO,
    teacher: Optional[str] = None,
    method: str = DEFAULT_METHOD,
    time: Union[str, float, None] = None,
    out: Optional[PathLike] = None,
    seed: int = 0,
    plan_only: bool = False,
    quiet: bool = False,
    **options: Any,
) -> Result:
    """Distils a foundation model into a small classifier of your images.

    What it decides and why, whether distillation is likely to help and how
    long it takes is printed before training; nothing is asked. See
    docs/your_images.md.

    Args:
        data (str, optional): Folder that holds what the next three name;
            alone, a folder of classes or a CSV. Defaults to None.
        labelled (str, optional): Folder of classes, or a CSV with the columns
            path and label. Defaults to None, ``data``.
        unlabelled (str, optional): Folder of any images, or a CSV; no label
            is read. Defaults to None: rows of the CSV without a label, else
            the labelled images.
        test (str, optional): As ``labelled``. Defaults to None, a fifth of
            the labelled images.
        student (str): Name of MMPretrain's model zoo, or ``timm/NAME``.
            Defaults to 'mobilenet-v3-small'.
        student_weights (str): 'auto', 'none' or a file. Defaults to 'auto',
            ImageNet's if they can be had.
        teacher (str, optional): ``timm/NAME``, ``open_clip/ARCH:TAG``,
            ``mmpretrain/NAME``, ``file/PATH.safetensors`` or
            'efficientnet-lite2'. Defaults to None, the best that can be had.
        method (str): A file of ``configs/_base_/methods/``. Defaults to
            'propagated'.
        time (str | float, optional): Such as '20m', into which the epochs
            are fitted. Defaults to None.
        out (str, optional): Where everything goes. Defaults to None, an
            unused folder in ``work_dirs``.
        seed (int): Defaults to 0.
        plan_only (bool): Whether to stop before training; the config is left
            in ``out``, if that is given. Defaults to False.
        quiet (bool): Whether to print nothing; warnings go to the log then.
            Defaults to False.
        **options: ``size``, ``teacher_size``, ``batch_size``, ``epochs``,
            ``lr``, ``workers``: see :class:`~.plan.Options`.

    Returns:
        Result: Table, files and times.

    Raises:
        UserError: If anything that was given is wrong.
    """
    start = clocks.monotonic()
    given = Options(**options)
    budget = None if time is None else parse_duration(time)
    if budget is not None and given.epochs is not None:
        raise UserError('time, epochs: expected one of them, got both.')
    work_dir = None
    if out is not None or not plan_only:
        work_dir = unused_folder(out, labelled or data)
    screen = Console(file=io.StringIO()) if quiet else console()
    with ExitStack() as stack:
        log = stack.enter_context(logging_apart())
        if quiet:
            stack.enter_context(DISPLAY.silenced())
            stack.enter_context(warnings_in(log))
        run = _Run(screen, method, seed, stem_of(labelled or data))
        images = find_data(data, labelled, unlabelled, test, seed)
        if work_dir is not None:
            check_outside(work_dir, images.folders)
        run.prepare(
            images,
            (student, student_weights),
            teacher,
            given,
        )
        result = run.decide(budget, start, tested=not plan_only)
        if work_dir is not None:
            run.leave(result, work_dir, log)
        if not plan_only:
            run.train(result, budget, start)
    return result


class _Run:
    """A run from its images to its table."""

    def __init__(
        self, screen: Console, method: str, seed: int, name: str
    ) -> None:
        self.screen, self.seed, self.name = screen, seed, name
        self.method = METHODS.get(method, method)

    def prepare(
        self,
        data: Data,
        student: Tuple[str, str],
        teacher: Optional[str],
        options: Options,
    ) -> None:
        """Looks at the images, finds the networks, makes the first plan."""
        screen = self.screen
        data.check_images()
        show_data(screen, data)
        name, weights = student
        self.student = find_student(name, len(data.classes), weights)
        show_fact(screen, 'student', f'{name}, {self.student.why}')
        self.teacher = find_teacher(teacher)
        show_fact(
            screen, 'teacher', f'{self.teacher.name}: {self.teacher.why}'
        )
        self.data, self.machine = data, this_machine()
        self.plan = make_plan(
            data, self.machine, self.student, self.teacher, options
        )

    def decide(
        self, budget: Optional[float], start: float, tested: bool
    ) -> Result:
        """Probes the teacher, times some steps, and says what comes of it."""
        data = self.data
        with tempfile.TemporaryDirectory(prefix='distill_') as scratch:
            path = Path(scratch, CONFIG)
            self._write(path)
            config = load_config(path)
            prepare(config, config_path=path, work_dir=scratch)
            outlook = look(config, tested)
            pace = rehearse(config, Path(scratch, 'rehearsal'))
        clock = make_clock(data, self.plan, pace, outlook.seconds_per_image)
        self.clock = clock
        spent = clocks.monotonic() - start
        self.plan = fit_time(self.plan, clock, budget, spent)
        counts = np.bincount(data.labels['labelled'])
        show_outlook(self.screen, outlook, data.classes[counts.argmax()])
        show_plan(self.screen, self.plan, str(self.machine), clock)
        return Result(self.plan, outlook, clock.total(self.plan.epochs))

    def leave(self, result: Result, work_dir: Path, log: Log) -> None:
        """Writes the configs and begins the log."""
        result.work_dir = work_dir
        work_dir.mkdir(parents=True, exist_ok=True)
        log.open(work_dir / LOG)
        self._write(result.config)
        write_config(
            work_dir / STUDENT_CONFIG,
            student_config(self.data, self.student, self.plan),
            'What MMPretrain wants beside student.pth.',
        )

    def train(
        self, result: Result, budget: Optional[float], start: float
    ) -> None:
        """Trains, and completes the result."""
        work_dir = result.work_dir
        begun = clocks.monotonic()
        if budget is None:
            self._train(result)
        else:
            self._train_within(result, budget, start)
        result.seconds = clocks.monotonic() - begun
        shutil.copy2(work_dir / RUN / STUDENT_FILE, result.student)
        found = read_results(work_dir / RUN)
        last = found['last']
        result.lines = result_lines(
            result.outlook,
            found.get('constant'),
            Score(last[ACCURACY], last[MACRO_F1]),
            self.student.name,
        )
        finish(self.screen, result, self.data.count('test'), found)

    def _train_within(
        self, result: Result, budget: float, start: float
    ) -> None:
        keep = KeepTimeHook(start, budget, self.screen.print)
        pace = None
        try:
            self._train(result, [keep])
        except TooSlow as slow:
            pace = slow.seconds
        # Only here has the run that was begun let go of its networks.
        if pace is not None:
            gc.collect()
            self._shorten(result, budget, start, pace)
            keep.anew = False
            self._train(result, [keep], anew=True)

    def _train(
        self, result: Result, hooks: Sequence[Hook] = (), anew: bool = False
    ) -> None:
        config = prepare(
            load_config(result.config),
            config_path=result.config,
            work_dir=str(result.work_dir / RUN),
        )
        if anew:
            config.overwrite = True
            # MMEngine keeps things by this name.
            config.experiment_name = f'{RUN}_anew'
        # The log goes to a file.
        train(config, lines=True, hooks=hooks)

    def _shorten(
        self, result: Result, budget: float, start: float, pace: float
    ) -> None:
        """Plans as many epochs as fit into what is left of the time."""
        spent = clocks.monotonic() - start
        clock = self.clock.at_pace(pace)
        before = self.plan.epochs
        self.plan = result.plan = fit_rest(self.plan, clock, budget, spent)
        self.screen.print(
            f'An epoch takes {spell_duration(pace)} and not '
            f'{spell_duration(self.clock.epoch)}: begun anew with '
            f'{self.plan.epochs} of them in place of {before}.'
        )
        self._write(result.config)

    def _write(self, path: Path) -> None:
        content = run_config(
            self.data,
            self.student,
            self.teacher,
            self.plan,
            self.method,
            self.seed,
            self.name,
        )
        about = 'Made by tools/distill.py; tools/train.py runs it.'
        write_config(path, content, about)
