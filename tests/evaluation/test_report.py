"""Finished runs side by side."""

import json

import pytest
import torch

from mmkd_custom.errors import UserError
from mmkd_custom.evaluation.report import (
    ACCURACY,
    MACRO_F1,
    comparison_table,
    results_of,
    table_rows,
)
from mmkd_custom.evaluation.results import summarize, write_json


def finish(work_dir, accuracy, f1, seconds):
    """Writes what a finished run leaves."""
    work_dir.mkdir(parents=True)
    history = [
        {'epoch': epoch, ACCURACY: a, MACRO_F1: f}
        for epoch, (a, f) in enumerate(zip(accuracy, f1), 1)
    ]
    write_json(
        dict(
            epochs=len(history),
            wall_seconds=seconds,
            history=history,
            **summarize(history),
        ),
        work_dir / 'results.json',
    )
    torch.save(
        dict(
            state_dict={
                'conv.weight': torch.zeros(100, 1000),
                'bn.running_mean': torch.zeros(20000),
                'half': torch.zeros(30000, dtype=torch.float16),
                'bn.num_batches_tracked': torch.tensor(7),
            },
            meta=dict(),
        ),
        work_dir / 'student.pth',
    )
    return work_dir


@pytest.fixture
def runs(tmp_path):
    return {
        'labelled only': finish(
            tmp_path / 'a', [50.0, 61.25], [40.0, 39.0], 90
        ),
        'CustomKD': finish(tmp_path / 'b', [81.0, 80.04], [70.0, 75.5], 600),
    }


def rows_of(table):
    return list(zip(*(column.cells for column in table.columns)))


def test_one_row_a_run_below_the_constant_answer(runs):
    # 150 001 numbers in 540 008 bytes.
    size = '0.15 M, 0.5 MB'
    rows = [
        ('labelled only', '39.0', '61.2', '1.5', size),
        ('CustomKD', '75.5', '80.0', '10.0', size),
    ]
    assert rows_of(comparison_table(runs)) == rows
    both = table_rows(runs, results_of(runs))[1]
    assert both == ['CustomKD', '75.5 / 70.0', '80.0 / 81.0', '10.0', size]
    path = runs['labelled only'] / 'results.json'
    constant = {'class': 'whole', ACCURACY: 68.64, MACRO_F1: 40.7}
    write_json(dict(json.loads(path.read_text()), constant=constant), path)
    first = ("always 'whole'", '40.7', '68.6', '', '')
    assert rows_of(comparison_table(runs)) == [first, *rows]
    (runs['CustomKD'] / 'student.pth').unlink()
    assert rows_of(comparison_table(runs))[2][-1] == '–'


def test_unfinished_run_is_refused(runs, tmp_path):
    (tmp_path / 'c').mkdir()
    with pytest.raises(UserError, match=r'c: .*results\.json'):
        results_of(dict(runs, FitNet=tmp_path / 'c'))
