"""What is printed: the plan, the outlook and the result."""

from __future__ import annotations

import sys
from typing import List, NamedTuple, Optional, Sequence

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from ..utils.duration import spell_duration
from .clock import Clock
from .data import Data
from .plan import Plan
from .probing import Outlook, Score

#: What the rows of the plan are called.
NAMES = dict(
    size="student's images",
    teacher_size="teacher's images",
    batch_size='batch',
    epochs='epochs',
    lr='learning rate',
    workers='loading processes',
)


class Line(NamedTuple):
    """A line of the last table.

    Args:
        name (str): Who answers.
        score (Score): How well.
    """

    name: str
    score: Score


def console() -> Console:
    """Returns what everything is printed to, 100 columns where unknown."""
    found = Console(file=sys.stdout)
    return found if found.is_terminal else Console(file=sys.stdout, width=100)


def show_data(out: Console, data: Data) -> None:
    """Prints which images there are."""
    counts = ', '.join(
        f'{data.count(name)} {what}'
        for name, what in (
            ('labelled', f'labelled of {len(data.classes)} classes'),
            ('unlabelled', 'unlabelled'),
            ('test', 'to test on'),
        )
    )
    show_fact(out, 'images', counts)
    for note in data.notes:
        show_fact(out, '', note)


def show_fact(out: Console, name: str, text: str) -> None:
    """Prints a name and, beside it, what is said of it."""
    grid = Table.grid(padding=(0, 1))
    grid.add_column(width=8, style='bold')
    grid.add_column()
    grid.add_row(name, escape(text))
    out.print(grid)


def show_outlook(out: Console, outlook: Outlook, commonest: str) -> None:
    """Prints what the labelled images say of the teacher.

    Args:
        out (Console): Where.
        outlook (Outlook): From :func:`~.probing.look`.
        commonest (str): The commonest class.
    """
    if outlook.gain is None:
        out.print(escape(outlook.verdict()))
        return
    title = f'what {outlook.count} labelled images say, each held out once'
    rows = [
        Line(f'always {commonest!r}', outlook.constant),
        Line('probe of thumbnails, no teacher', outlook.pixels),
        Line("probe of the teacher's feature", outlook.probe),
    ]
    out.print(score_table(rows, title))
    out.print(escape(outlook.verdict()))
    if outlook.probe.f1 > outlook.constant.f1:
        out.print(
            f"The student's range is from {outlook.constant.f1:.1f}, the "
            f"constant answer, to {outlook.probe.f1:.1f}, the teacher's "
            'probe: macro-F1 on images such as the labelled ones.'
        )


def show_plan(out: Console, plan: Plan, machine: str, clock: Clock) -> None:
    """Prints the sizes, their reasons and the time that training takes."""
    table = Table(title=f'plan, for {machine}', title_justify='left')
    for name in ('', '', 'because'):
        table.add_column(name)
    for name, value, why in plan.rows():
        table.add_row(NAMES[name], value, escape(why))
    out.print(table)
    parts = (
        f'{spell_duration(clock.teacher)} for the teacher, '
        f'{spell_duration(clock.epoch)} an epoch'
    )
    total = spell_duration(clock.total(plan.epochs))
    out.print(f'Training takes about [bold]{total}[/]: {parts}.')


def score_table(
    lines: Sequence[Line], title: str, images: Optional[int] = None
) -> Table:
    """Returns a table of accuracy and macro-F1.

    Args:
        lines (Sequence[Line]): Its rows.
        title (str): Its title.
        images (int, optional): How many were tested on: accuracies get a
            standard error. Defaults to None, without.
    """
    table = Table(title=title, title_justify='left')
    table.add_column('')
    table.add_column('accuracy', justify='right')
    table.add_column('macro-F1', justify='right')
    for line in lines:
        accuracy = f'{line.score.accuracy:.1f}'
        if images:
            share = line.score.accuracy / 100
            error = 100 * (share * (1 - share) / images) ** 0.5
            accuracy += f' ± {error:.1f}'
        table.add_row(escape(line.name), accuracy, f'{line.score.f1:.1f}')
    return table


def result_lines(
    outlook: Outlook,
    constant: Optional[dict],
    student: Score,
    name: str,
) -> List[Line]:
    """Returns the rows of the last table.

    Args:
        outlook (Outlook): With the probe on the test images.
        constant (dict, optional): Of ``results.json``.
        student (Score): Of the student, after its last epoch.
        name (str): The student's.
    """
    lines = []
    if constant:
        floor = Score(
            constant['accuracy/top1'], constant['single-label/f1-score']
        )
        lines.append(Line(f'always {constant["class"]!r}', floor))
    if outlook.tested is not None:
        lines.append(
            Line("probe of the teacher's feature, labels only", outlook.tested)
        )
    return [*lines, Line(f'distilled student ({name})', student)]
