"""Tables over seeds and tasks, against numbers worked out by hand."""

import csv
import statistics
import sys

import pytest

from mmkd_custom.benchmark.plot import plot_table
from mmkd_custom.benchmark.tables import (
    CONSTANT,
    MISSING,
    Run,
    metric_tables,
    write_tables,
)
from mmkd_custom.errors import UserError

TOP1 = 'accuracy/top1'
PER_CLASS = 'accuracy/per_class_mean'
#: Config, task: the last accuracy of seeds 0, 1, 2.
VALUES = {
    ('ours', 'A->B'): [60.0, 62.0, 67.0],
    ('ours', 'B->A'): [40.0, 44.0, 45.0],
    ('plain', 'A->B'): [50.0, 51.0, 52.0],
    ('plain', 'B->A'): [30.0, 32.0, 31.0],
}


@pytest.fixture
def results():
    """All runs; the oracle is one better, the other metric a tenth."""
    return {
        Run(config, task, seed): dict(
            last={TOP1: value, PER_CLASS: value / 10},
            oracle={TOP1: value + 1, PER_CLASS: value / 10},
        )
        for (config, task), values in VALUES.items()
        for seed, value in enumerate(values)
    }


def table_of(results, runs=None, metric=TOP1, kind='last'):
    tables = metric_tables(list(results if runs is None else runs), results)
    (found,) = [t for t in tables if (t.metric, t.kind) == (metric, kind)]
    return found


def test_mean_and_std_of_the_sample(results):
    table = table_of(results)
    assert list(table.rows) == ['ours', 'plain']
    assert table.tasks == ['A->B', 'B->A']
    for (config, task), values in VALUES.items():
        score = table.rows[config][task]
        assert score.mean == pytest.approx(statistics.mean(values))
        assert score.std == pytest.approx(statistics.stdev(values))
        assert score.complete
    assert str(table.rows['ours']['A->B']) == '63.00 ± 3.61 (n=3)'
    # The mean over tasks is of each seed: seeds go together.
    pairs = zip(VALUES['ours', 'A->B'], VALUES['ours', 'B->A'])
    means = [statistics.mean(pair) for pair in pairs]
    score = table.rows['ours']['mean']
    assert score.values == pytest.approx(means)
    assert score.std == pytest.approx(statistics.stdev(means))


def test_one_seed_has_no_deviation():
    run = Run('ours', 'A->B', 7)
    result = {run: dict(last={'loss': 0.0123}, oracle={'loss': 0.01})}
    score = table_of(result, metric='loss').rows['ours']['A->B']
    assert score.std is None and str(score) == '0.0123 (n=1)'
    assert metric_tables([run], {}) == []


def test_each_metric_has_a_table_of_last_and_one_of_oracle(results):
    found = [(t.metric, t.kind) for t in metric_tables(list(results), results)]
    assert found == [
        (metric, kind)
        for kind in ('last', 'oracle')
        for metric in (TOP1, PER_CLASS)
    ]
    for metric, kind, mean in (
        (TOP1, 'last', 63.0),
        (TOP1, 'oracle', 64.0),
        (PER_CLASS, 'last', 6.3),
    ):
        table = table_of(results, metric=metric, kind=kind)
        assert table.rows['ours']['A->B'].mean == pytest.approx(mean)
        assert table.markdown().startswith(f'{metric}, {kind} ')


@pytest.mark.parametrize('lost', [[0], [0, 1, 2]])
def test_missing_run_is_told_and_leaves_no_mean(results, lost):
    runs = list(results)
    for seed in lost:
        del results[Run('ours', 'B->A', seed)]
    table = table_of(results, runs)
    score = table.rows['ours']['B->A']
    assert not score.complete
    expected = MISSING if len(lost) == 3 else '44.50 ± 0.71 (n=2 of 3)'
    assert str(score) == expected
    assert 'mean' not in table.rows['ours'] and 'mean' in table.rows['plain']
    row = [r for r in table.markdown().splitlines() if r.startswith('| ours')]
    assert row[0].split(' | ')[2:] == [expected, f'{MISSING} |']


def test_constant_answer_is_a_row_of_the_result_alone(results):
    for run, content in results.items():
        content['constant'] = {'class': 'dog', TOP1: 20.0 + run.seed}
    table = table_of(results)
    assert list(table.rows) == ['ours', 'plain', CONSTANT]
    assert table.rows[CONSTANT]['B->A'].values == (20.0, 21.0, 22.0)
    assert table.rows[CONSTANT]['mean'].mean == 21.0
    assert CONSTANT not in table_of(results, kind='oracle').rows


def test_files(results, tmp_path):
    del results[Run('plain', 'B->A', 0)]
    runs = [Run(c, t, s) for c, t in VALUES for s in range(3)]
    tables = metric_tables(runs, results)
    written = write_tables(tables, tmp_path / 'tables')
    names = {path.name for path in (tmp_path / 'tables').iterdir()}
    assert {
        f'{p.stem}{end}' for p in written for end in ('.md', '.csv')
    } == names
    assert 'accuracy_top1.last.md' in names
    assert written[0].read_text() == tables[0].markdown()
    lines = (tmp_path / 'tables' / 'accuracy_top1.last.csv').read_text()
    ours, plain = csv.DictReader(lines.splitlines())
    assert ours['config'] == 'ours'
    assert float(ours['A->B mean']) == pytest.approx(63.0)
    assert float(ours['A->B std']) == pytest.approx(13**0.5)
    assert ours['mean n'] == '3' and plain['B->A n'] == '2'
    assert plain['mean mean'] == plain['mean std'] == ''


def test_bars_are_as_high_as_the_means(results, tmp_path, monkeypatch):
    pyplot = pytest.importorskip('matplotlib.pyplot')
    runs = list(results)
    for seed in range(3):
        del results[Run('plain', 'B->A', seed)]
    monkeypatch.setattr(pyplot, 'close', lambda figure: None)
    path = plot_table(table_of(results, runs), tmp_path / 'bars.png')
    assert path.read_bytes().startswith(b'\x89PNG')
    axis = pyplot.gcf().axes[0]
    bars = [c for c in axis.containers if hasattr(c, 'patches')]
    heights = [[patch.get_height() for patch in bar] for bar in bars]
    assert heights == [
        pytest.approx([63.0, 43.0, 53.0]),
        pytest.approx([51.0]),
    ]
    monkeypatch.undo()
    pyplot.close('all')


def test_without_matplotlib_a_sentence(results, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, 'matplotlib', None)
    with pytest.raises(UserError, match='matplotlib'):
        plot_table(table_of(results), tmp_path / 'bars.png')
