"""One HTML page without any other file: table, pictures, commands."""

from __future__ import annotations

import base64
import shlex
from pathlib import Path
from typing import Any, List, Mapping, NamedTuple, Optional, Sequence

from jinja2 import Environment

from ..evaluation.report import LABELS, shown_metrics, table_rows
from ..utils.files import write_atomic
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
img { width: 100%; height: auto }
p.caption, li { color: #444; font-size: .93em }
pre { background: #f5f5f5; padding: .8em; overflow-x: auto;
      font-size: .82em }
</style>
<h1>{{ title }}</h1>
<table>
<tr><th>run{% for m in metrics %}<th>{{ m }}<br>last / oracle{% endfor %}
<th>minutes<th>student</tr>
{% for row in rows -%}
<tr>{% for cell in row %}<td>{{ cell }}{% endfor %}</tr>
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
    options: Optional[Mapping[str, Any]] = None,
) -> None:
    """Writes the page.

    Args:
        path (Path): The file, in an existing folder.
        runs (Sequence[Run]): Finished runs, in the order of the table.
        pictures (Sequence[Picture]): In their order.
        left_out (Sequence[str]): Sentences about what is missing.
        options (Mapping, optional): ``--cfg-options`` of the command that
            makes the page. Defaults to None.
    """
    results = {run.name: run.results for run in runs}
    metrics = shown_metrics(
        name for run in runs for name in run.results.get('last') or {}
    )
    tasks = {str(run.results.get('task')) for run in runs}
    html = Environment(autoescape=True).from_string(_PAGE)
    text = html.render(
        title=f'{", ".join(results)}: {" and ".join(sorted(tasks))}',
        metrics=[LABELS.get(name, name) for name in metrics],
        rows=table_rows({r.name: r.work_dir for r in runs}, results, metrics),
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


def commands_of(
    runs: Sequence[Run], options: Optional[Mapping[str, Any]] = None
) -> List[str]:
    """Returns how each run was trained, and how the page was made."""
    lines = []
    for run in runs:
        results = run.results
        command = ['tools/train.py', results.get('config')]
        command += ['--work-dir', run.work_dir]
        command += _cfg_options(results.get('options'))
        lines += [
            f'# {run.name}: {results.get("task")}',
            f'SEED={results.get("seed")} {_python(command)}',
        ]
    command = ['tools/analyze.py', *(run.work_dir for run in runs)]
    command += ['--names', *(run.name for run in runs)]
    return [*lines, '# this page', _python(command + _cfg_options(options))]


def _cfg_options(options: Optional[Mapping[str, Any]]) -> List[str]:
    given = [f'{key}={value}' for key, value in (options or {}).items()]
    return ['--cfg-options', *given] if given else []


def _python(command: Sequence[Any]) -> str:
    return shlex.join(['python', *map(str, command)])
