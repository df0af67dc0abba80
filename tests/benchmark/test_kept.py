"""Finished runs in a CSV: written, read, merged, refused."""

import csv
import json
import random

import numpy as np
import pytest

from mmkd_custom.benchmark.kept import (
    add_lines,
    differing_part,
    line_of,
    read_lines,
    results_of,
    settings_digest,
)
from mmkd_custom.benchmark.tables import Run, metric_tables
from mmkd_custom.errors import UserError

DIGEST = 'max_epochs=3 model=01234567'
RUNS = [
    Run(row, task, seed)
    for row in ('ours', 'plain')
    for task in ('a,b->c', 'elpv "x", 2 %')
    for seed in (0, 1, 10)
]


def results_at(value, **changes):
    metrics = {'accuracy/top1': value, 'single-label/f1-score': value / 3}
    found = dict(
        last=metrics,
        oracle=dict(epoch=2, **metrics),
        constant={'class': 'dog', 'accuracy/top1': value / 7},
        selection=dict(agreement=value / 2),
        epochs=3,
        wall_seconds=12.5,
        device='cpu',
        versions={'torch': '2.9.1', 'mmkd-custom': '1.0.0'},
    )
    return dict(found, **changes)


def lines_of(results, settings=DIGEST):
    return {run: line_of(run, r, settings) for run, r in results.items()}


@pytest.fixture
def results():
    """Runs with values in single precision, as torch gives them."""
    rng = random.Random(0)
    return {
        run: results_at(float(np.float32(rng.uniform(0.05, 100))))
        for run in RUNS
    }


def test_what_is_read_is_what_was_written_in_tables_to_the_digit(
    results, tmp_path
):
    path = tmp_path / 'cells.csv'
    add_lines(path, lines_of(results))
    lines = read_lines(path)
    assert {*lines} == {*results}
    for run, line in lines.items():
        found, own = results_of(line), results[run]
        for block in ('last', 'oracle', 'selection'):
            assert found[block] == pytest.approx(own[block], rel=1e-8)
        assert found['constant']['class'] == 'dog'
        assert (found['epochs'], found['wall_seconds']) == (3, 12.5)
        assert (found['torch'], found['mmkd_custom']) == ('2.9.1', '1.0.0')
        assert line['settings'] == DIGEST and line['device'] == 'cpu'
    kept = {run: results_of(line) for run, line in lines.items()}
    ours = metric_tables(RUNS, results)
    assert ours == metric_tables(RUNS, kept) and len(ours) == 5


def test_lines_are_sorted_and_a_new_one_is_a_line_of_the_diff(
    results, tmp_path
):
    whole, parts = tmp_path / 'whole.csv', tmp_path / 'parts.csv'
    lines = lines_of(results)
    add_lines(whole, lines)
    for run in random.Random(1).sample(RUNS, len(RUNS)):
        add_lines(parts, {run: lines[run]})
    assert parts.read_bytes() == whole.read_bytes()
    header, *rows = csv.reader(whole.open(newline=''))
    assert header == [
        *('config', 'task', 'seed'),
        *('last:accuracy/top1', 'last:single-label/f1-score'),
        *('oracle:accuracy/top1', 'oracle:epoch'),
        'oracle:single-label/f1-score',
        *('constant:accuracy/top1', 'constant:class', 'selection:agreement'),
        *('epochs', 'wall_seconds', 'device', 'torch', 'mmkd_custom'),
        'settings',
    ]
    assert [Run(*row[:2], int(row[2])) for row in rows] == sorted(RUNS)
    before = whole.stat().st_mtime_ns
    add_lines(whole, {})
    assert whole.stat().st_mtime_ns == before


def test_what_a_run_lacks_is_empty(tmp_path):
    path = tmp_path / 'cells.csv'
    bare = dict(last={'loss': None}, oracle={}, constant=None)
    runs = dict(zip(RUNS, (bare, results_at(50.0))))
    add_lines(path, lines_of(runs))
    found = results_of(read_lines(path)[RUNS[0]])
    assert found['last'] == found['constant'] == found['selection'] == {}
    assert 'loss' not in path.read_text()


def test_files_of_two_machines_are_put_together(results, tmp_path):
    first, second = tmp_path / 'a.csv', tmp_path / 'b.csv'
    lines = lines_of(results)
    add_lines(first, {run: lines[run] for run in RUNS[:8]})
    # Another machine was slower; metrics and settings are what counts.
    slow = dict(wall_seconds=99.0, device='other', selection={})
    more = {run: dict(results[run], **slow) for run in RUNS[8:]}
    more[RUNS[0]] = dict(results[RUNS[0]], wall_seconds=99.0, device='other')
    add_lines(second, lines_of(more))
    both = tmp_path / 'both.csv'
    both.write_text(first.read_text() + second.read_text())
    found = read_lines(both)
    assert {*found} == {*RUNS}
    assert found[RUNS[0]]['wall_seconds'] == '12.5'
    add_lines(both, {RUNS[0]: lines[RUNS[0]]})
    assert both.read_text().count('config,task') == 1
    assert read_lines(both) == found


@pytest.mark.parametrize(
    'change, settings, named',
    [
        (dict(last={'accuracy/top1': 1.0}), DIGEST, 'last:accuracy/top1'),
        ({}, 'max_epochs=4', 'settings'),
        (dict(selection={}), DIGEST, 'selection:agreement'),
    ],
)
def test_contradictions_are_refused(tmp_path, change, settings, named):
    path, other = tmp_path / 'a.csv', tmp_path / 'b.csv'
    add_lines(path, lines_of({RUNS[0]: results_at(50.0)}))
    changed = lines_of({RUNS[0]: results_at(50.0, **change)}, settings)
    add_lines(other, changed)
    path.write_text(path.read_text() + other.read_text())
    with pytest.raises(UserError, match=f'a.csv, line 4: .*line 2.*{named}'):
        read_lines(path)


@pytest.mark.parametrize(
    'text',
    [
        'ours,x,0\n',
        'config,task,seed,settings\n<<<<<<< HEAD\n',
        'config,task,seed,settings\nours,x,one,a=b\n',
        'config,task,seed,settings\nours,x,0,\n',
    ],
)
def test_malformed_lines_are_named(tmp_path, text):
    path = tmp_path / 'cells.csv'
    path.write_text(text)
    line = text.count('\n')
    with pytest.raises(UserError, match=f'cells.csv, line {line}: '):
        read_lines(path)


def test_digest_tells_which_part_differs():
    settings = {'model.type': 'A', 'model.w': 1.5, 'train_dataloader.n': 3}
    wanted = dict(settings=settings, max_epochs=7, max_iters=None)
    digest = settings_digest(wanted)
    # As JSON gives it back, in any order.
    again = json.loads(json.dumps(dict(reversed(settings.items()))))
    assert settings_digest(dict(wanted, settings=again)) == digest
    assert differing_part(digest, digest) is None
    for changed, said in (
        (dict(wanted, max_epochs=8), 'expected max_epochs 8, got 7'),
        (dict(wanted, settings={**settings, 'model.w': 2}), 'expected model '),
        (dict(wanted, settings={**settings, 'x.y': 2}), 'expected x of '),
    ):
        assert said in differing_part(digest, settings_digest(changed))
