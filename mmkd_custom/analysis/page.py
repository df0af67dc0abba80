"""One HTML page without any other file: table, pictures, commands."""

from __future__ import annotations

import base64
import shlex
from pathlib import Path
from typing import Any, Dict, List, NamedTuple, Optional, Sequence

from jinja2 import Environment

from ..errors import UserError
from ..evaluation.report import LABELS, METRICS, student_size
from ..utils.files import STUDENT_FILE, write_atomic
from .runs import Run

_PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>{{ title }}</title>
<style>
body { font: 16px/1.5 system-ui, sans-serif; color: #222; margin: 2em auto;
       max-width: 830px; padding: 0 1em }
h1 { font-size: 1.5em } h2 { font-size: 1.2em; margin: 2.2em 0 .4em }
table { border-collapse: collapse; width: 100%; font-size: .93em }
th, td { padding: .35em .6em; text-align: right;
         border-bottom: 1px solid #d9d9d9 }
th:first-child, td:first-child { text-align: left }
tr.floor { color: #767676 }
img { width: 100%; height: auto }
p.caption, li { color: #444; font-size: .93em }
pre { background: #f5f5f5; padding: .8em; overflow-x: auto;
      font-size: .82em }
</style>
<h1>{{ title }}</h1>
<table>
<tr><th>run{% for m in metrics %}<th>{{ m }}<br>last<th>oracle{% endfor %}
<th>minutes<th>student</tr>
{% for row in rows -%}
<tr{% if row.floor %} class="floor"{% endif %}><td>{{ row.name }}
{%- for cell in row.cells %}<td>{{ cell }}{% endfor %}</tr>
{% endfor -%}
</table>
<p class="caption">last: after the last epoch, the result; oracle: the best
epoch by the test labels, which only stands beside it.</p>
{% for picture in pictures %}
<h2>{{ picture.title }}</h2>
<p class="caption">{{ picture.caption }}</p>
<img src="data:image/png;base64,{{ picture.data }}" alt="{{ picture.title }}">
{% endfor %}
{% if left_out %}
<h2>Left out</h2>
<ul>{% for sentence in left_out %}<li>{{ sentence }}</li>{% endfor %}</ul>
{% endif %}
<h2>Commands</h2>
<pre>{% for line in commands %}{{ line }}
{% endfor %}</pre>
<p class="caption">Each work directory holds the run's config with all
variables filled in.</p>
</html>
"""


class Picture(NamedTuple):
    """A picture of the page.

    Args:
        title (str): The heading above.
        caption (str): What it shows.
        path (Path): The PNG.
    """

    title: str
    caption: str
    path: Path


def write_page(
    path: Path,
    runs: Sequence[Run],
    pictures: Sequence[Picture],
    left_out: Sequence[str],
    options: Sequence[object] = (),
) -> Path:
    """Writes the page.

    Args:
        path (Path): The file, in an existing folder.
        runs (Sequence[Run]): Finished runs, in the order of the table.
        pictures (Sequence[Picture]): In their order.
        left_out (Sequence[str]): Sentences about what is missing.
        options (Sequence[object]): Of the command that makes the page.
            Defaults to none.

    Returns:
        Path: The file.
    """
    metrics = metrics_of(runs)
    tasks = {str(run.results.get('task')) for run in runs}
    html = Environment(autoescape=True).from_string(_PAGE)
    text = html.render(
        title=f'{", ".join(run.name for run in runs)}: '
        f'{" and ".join(sorted(tasks))}',
        metrics=[LABELS.get(name, name) for name in metrics],
        rows=table_rows(runs, metrics),
        pictures=[
            dict(
                title=each.title,
                caption=each.caption,
                data=base64.b64encode(each.path.read_bytes()).decode(),
            )
            for each in pictures
        ],
        left_out=left_out,
        commands=commands_of(runs, options),
    )
    write_atomic(path, text.encode())
    return path


def metrics_of(runs: Sequence[Run]) -> List[str]:
    """Returns the metrics that a table of runs shows, the first two at most.

    Macro-F1 and accuracy where there are such.
    """
    there = dict.fromkeys(k for r in runs for k in r.results.get('last') or {})
    return [m for m in METRICS if m in there] or [*there][:2]


def table_rows(
    runs: Sequence[Run], metrics: Sequence[str]
) -> List[Dict[str, Any]]:
    """Returns the rows of the table of results.

    Args:
        runs (Sequence[Run]): Finished runs.
        metrics (Sequence[str]): From :func:`metrics_of`.

    Returns:
        list[dict]: ``name``, ``cells`` (last and oracle of each metric,
        minutes, size of the student) and whether it is the ``floor``, that of
        the constant answer.
    """
    rows = []
    constants = [run.results.get('constant') for run in runs]
    constant = next(filter(None, constants), None)
    if constant:
        cells = [c for m in metrics for c in (_number(constant.get(m)), '')]
        name = f'always {constant["class"]!r}'
        rows.append(dict(name=name, cells=[*cells, '', ''], floor=True))
    for run in runs:
        results = run.results
        cells = [
            _number((results.get(kind) or {}).get(metric))
            for metric in metrics
            for kind in ('last', 'oracle')
        ]
        minutes = _number((results.get('wall_seconds') or 0) / 60)
        cells += [minutes, _size(run.work_dir / STUDENT_FILE)]
        rows.append(dict(name=run.name, cells=cells, floor=False))
    return rows


def commands_of(
    runs: Sequence[Run], options: Sequence[object] = ()
) -> List[str]:
    """Returns how each run was trained, and how the page was made."""
    lines = []
    for run in runs:
        results = run.results
        options = results.get('options') or {}
        command = ['python', 'tools/train.py', str(results.get('config'))]
        command += ['--work-dir', str(run.work_dir)]
        if options:
            command.append('--cfg-options')
            command += [f'{key}={value}' for key, value in options.items()]
        lines += [
            f'# {run.name}: {results.get("task")}',
            f'SEED={results.get("seed")} {shlex.join(command)}',
        ]
    command = ['python', 'tools/analyze.py', *(r.work_dir for r in runs)]
    command += ['--names', *(run.name for run in runs), *options]
    return [*lines, '# this page', shlex.join(map(str, command))]


def _number(value: Optional[float]) -> str:
    # What was not finite is null in the file.
    return '–' if value is None else f'{value:.1f}'


def _size(path: Path) -> str:
    try:
        size = student_size(path)
    except UserError:
        return '–'
    return f'{size["parameters"]:.2f} M, {size["megabytes"]:.1f} MB'
