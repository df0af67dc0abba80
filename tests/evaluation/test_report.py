"""Finished runs side by side."""

import io
import json

import numpy as np
import pytest
import torch
from PIL import Image
from rich.console import Console

from mmkd_custom.errors import UserError
from mmkd_custom.evaluation import (
    comparison_table,
    plot_curves,
    results_of,
    student_size,
    summarize,
    write_json,
)
from mmkd_custom.evaluation.report import ACCURACY, MACRO_F1


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


def test_student_size_counts_every_tensor(runs):
    size = student_size(runs['CustomKD'] / 'student.pth')
    assert size['parameters'] == pytest.approx(0.150001)
    bytes_ = 100000 * 4 + 20000 * 4 + 30000 * 2 + 8
    assert size['megabytes'] == pytest.approx(bytes_ / 1024 / 1024)


def test_one_row_a_run_with_its_numbers(runs):
    table = comparison_table(runs)
    rows = list(zip(*(column.cells for column in table.columns)))
    size = '0.15 M, 0.5 MB'
    assert rows == [
        ('labelled only', '39.0 / 39.0', '61.2 / 61.2', '1.5', size),
        ('CustomKD', '75.5 / 70.0', '80.0 / 81.0', '10.0', size),
    ]
    assert [str(column.header).split('\n')[0] for column in table.columns] == [
        'method',
        'macro-F1',
        'accuracy',
        'minutes',
        'student',
    ]
    shown = io.StringIO()
    Console(file=shown, width=100).print(table)
    for cell in (cell for row in rows for cell in row):
        assert cell in shown.getvalue()


def test_the_constant_answer_is_the_first_row(runs):
    path = runs['labelled only'] / 'results.json'
    constant = {'class': 'whole', ACCURACY: 68.64, MACRO_F1: 40.7}
    write_json(dict(json.loads(path.read_text()), constant=constant), path)
    table = comparison_table(runs)
    rows = list(zip(*(column.cells for column in table.columns)))
    assert len(rows) == 3
    assert rows[0] == ("always 'whole'", '40.7', '68.6', '', '')


def test_chosen_metrics_only(runs):
    table = comparison_table(runs, metrics=[MACRO_F1])
    assert len(table.columns) == 4
    assert list(table.columns[1].cells)[1] == '75.5 / 70.0'


def test_results_of_keeps_the_names(runs):
    found = results_of(runs)
    assert list(found) == ['labelled only', 'CustomKD']
    assert found['CustomKD']['last'] == {ACCURACY: 80.04, MACRO_F1: 75.5}


def test_the_picture_shows_the_curves(runs, tmp_path):
    pytest.importorskip('matplotlib')
    path = plot_curves(runs, tmp_path / 'curves.png')
    assert path == tmp_path / 'curves.png'
    assert path.read_bytes().startswith(b'\x89PNG\r\n\x1a\n')
    with Image.open(path) as image:
        assert image.width > image.height > 100
        both = np.asarray(image.convert('RGB')).astype(int)
    alone = tmp_path / 'one.png'
    plot_curves({'CustomKD': runs['CustomKD']}, str(alone))
    with Image.open(alone) as image:
        one = np.asarray(image.convert('RGB')).astype(int)

    def coloured(pixels):
        return (np.ptp(pixels, axis=2) > 60).sum()

    assert coloured(both) > coloured(one) > 100


def test_an_unfinished_run_is_refused(runs, tmp_path):
    (tmp_path / 'c').mkdir()
    runs['FitNet'] = tmp_path / 'c'
    for report in (
        lambda: results_of(runs),
        lambda: comparison_table(runs),
    ):
        with pytest.raises(UserError, match=r'c: holds no results\.json'):
            report()


def test_a_run_that_lost_its_student_is_refused(runs):
    (runs['CustomKD'] / 'student.pth').unlink()
    with pytest.raises(UserError, match=r'student\.pth.*no such file'):
        comparison_table(runs)
