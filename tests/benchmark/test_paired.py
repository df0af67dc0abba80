"""Paired differences, against numbers worked out by hand."""

import json

import pytest

from mmkd_custom.benchmark.paired import paired_tables
from mmkd_custom.benchmark.tables import Run, write_tables

TOP1 = 'accuracy/top1'
#: Row, task: of seeds 0, 1, 2.
VALUES = {
    ('ours', 'A'): [60.0, 62.0, 67.0],
    ('ours', 'B'): [40.0, 44.0, 45.0],
    ('plain', 'A'): [50.0, 54.0, 55.0],
    ('plain', 'B'): [41.0, 41.0, 41.0],
}


@pytest.fixture
def results():
    return {
        Run(config, task, seed): dict(last={TOP1: value})
        for (config, task), values in VALUES.items()
        for seed, value in enumerate(values)
    }


def table_of(results, against='plain', runs=None):
    (table,) = paired_tables(list(runs or results), results, against)
    return table


def test_mean_and_interval(results):
    table = table_of(results)
    assert list(table.rows) == ['ours'] and table.tasks == ['A', 'B']
    row = table.rows['ours']
    # 10, 8, 12: mean 10, deviation 2; t(0.975, 2) = 4.302653.
    assert row['A'].values == (10.0, 8.0, 12.0)
    half = 4.302653 * 2 / 3**0.5
    assert row['A'].interval == pytest.approx((10 - half, 10 + half))
    assert str(row['A']) == '+10.00 [+5.03, +14.97] (n=3)'
    # Over all: of each seed the mean over tasks, 4.5, 5.5, 8.
    assert row['B'].values == (-1.0, 3.0, 4.0)
    assert row['mean'].values == (4.5, 5.5, 8.0)
    half = 4.302653 * 1.802776 / 3**0.5
    assert row['mean'].interval == pytest.approx((6 - half, 6 + half))
    assert table.above('ours') == (5, 6)


def test_only_seeds_that_both_rows_have_count(results):
    runs = list(results)
    del results[Run('plain', 'A', 1)], results[Run('ours', 'B', 0)]
    row = table_of(results, runs=runs).rows['ours']
    assert row['A'].values == (10.0, 12.0)
    assert row['B'].values == (3.0, 4.0)
    # Seed 2 alone is there in both tasks; one seed has no interval.
    assert row['mean'].values == (8.0,)
    assert row['mean'].interval is None and str(row['mean']) == '+8.00 (n=1)'
    for seed in (1, 2):
        del results[Run('ours', 'B', seed)]
    table = table_of(results, runs=runs)
    assert {*table.rows['ours']} == {'A'}
    line = table.markdown().splitlines()[-1]
    assert line.split(' | ')[2:] == ['missing', 'missing', '2 of 2 |']
    assert paired_tables(runs, results, 'other') == []


def test_files(results, tmp_path):
    table = table_of(results, 'ours')
    (path,) = write_tables([table], tmp_path / 'tables')
    assert path.name == 'accuracy_top1.last.against_ours.md'
    assert path.read_text() == table.markdown()
    assert '| plain | -10.00 [-14.97, -5.03] (n=3) |' in path.read_text()
    found = json.loads(path.with_suffix('.json').read_text())
    assert (found['against'], found['level']) == ('ours', 0.95)
    plain = found['rows']['plain']
    assert plain['mean']['mean'] == -6.0 and plain['mean']['n'] == 3
    low, high = plain['A']['interval']
    assert low < plain['A']['mean'] < high
    assert plain['above'] == {'runs': 1, 'of': 6}
